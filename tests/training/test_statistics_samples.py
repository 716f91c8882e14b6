"""BatchNorm is re-estimated on the inputs that suit the model: as they are, or varied as in its training."""

import dataclasses

import pytest
import torch

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training import batched_trials, trial
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.sensitivity.probe import LoweredChoice, SensitivityProbe
from mpsearch.training.statistics_samples import suited_samples, trial_statistics
from mpsearch.training.trial import baseline_model
from mpsearch.training.trial_data import trial_data
from mpsearch.training.trial_score import scored

RECIPE = TrialRecipe(steps=12, high_bit_steps=4, batch_size=32, calibration_samples=64, bn_samples=100)
POLICIES = [PrecisionPolicy(dict.fromkeys(("0", "3"), scheme)) for scheme in ("w4a8", "w1.58a8")]


def moved(inputs, _generator):
    return inputs + 3


@pytest.fixture
def prepared(tiny_task, tmp_path):
    """What a trial starts from. `is_asked_moved`: validation inputs are such that `moved` ones suit."""

    def make(*, is_asked_moved):
        task = dataclasses.replace(tiny_task, augment=moved)
        if is_asked_moved:
            asked = dataclasses.replace(task.validation, inputs=task.validation.inputs + 3)
            task = dataclasses.replace(task, validation=asked)
        return task, trained_baseline(tiny_task, cache_dir=tmp_path)

    return make


@pytest.mark.parametrize("is_asked_moved", [False, True])
def test_the_kind_is_taken_that_leaves_the_32_bit_model_the_lower_loss(prepared, is_asked_moved):
    task, baseline = prepared(is_asked_moved=is_asked_moved)
    samples = trial_data(task, RECIPE, steps=1, seed=0).statistics
    suited = suited_samples(task, baseline, baseline_model(task, baseline), samples, seed=0)
    assert torch.equal(suited.inputs, samples.inputs + 3 * is_asked_moved)


@pytest.mark.parametrize("augment", [False, True])
def test_after_training_they_are_like_the_inputs_of_the_training(prepared, augment):
    task, baseline = prepared(is_asked_moved=True)
    recipe = dataclasses.replace(RECIPE, augment=augment)
    samples = trial_data(task, recipe, steps=1, seed=0).statistics
    before, after = trial_statistics(task, baseline, baseline_model(task, baseline), recipe, samples, seed=0)
    assert torch.equal(before.inputs, samples.inputs + 3)
    assert torch.equal(after.inputs, samples.inputs + 3 * augment)


def test_nothing_is_re_estimated_where_the_recipe_says_so(prepared):
    task, baseline = prepared(is_asked_moved=True)
    recipe = dataclasses.replace(RECIPE, reestimate_batch_norm=False)
    assert trial_statistics(task, baseline, None, recipe, None, seed=0) == (None, None)


@pytest.mark.parametrize("module", [trial, batched_trials])
def test_a_trial_is_scored_with_those_before_and_those_after(prepared, module, monkeypatch):
    task, baseline = prepared(is_asked_moved=True)
    seen = []

    def watched(model, task, statistics):
        seen.append(float(statistics.inputs.mean()))
        return scored(model, task, statistics)

    monkeypatch.setattr(module, "scored", watched)
    if module is trial:
        trial.run_trial(task, baseline, POLICIES[0], RECIPE)
    else:
        batched_trials.run_trials(task, baseline, POLICIES, RECIPE)
    half = len(seen) // 2
    before, after = seen[:half], seen[half:]
    assert before == pytest.approx([after[0] + 3] * half, abs=1e-4)
    assert after == [after[0]] * half


def test_a_trial_draws_the_same_whether_or_not_the_kind_is_known(prepared):
    task, baseline = prepared(is_asked_moved=True)
    first = trial.run_trial(task, baseline, POLICIES[0], RECIPE)
    assert baseline.memory.suits_varied is True
    again = trial.run_trial(task, baseline, POLICIES[0], RECIPE)
    assert (first.curve, first.score, first.loss) == (again.curve, again.score, again.loss)


def test_sensitivities_are_measured_with_those_that_suit(prepared):
    task, baseline = prepared(is_asked_moved=True)
    choice = LoweredChoice(name="0", layers=("0",), schemes=())
    kinds = {}
    for name, asked in (("moved", task), ("plain", dataclasses.replace(task, augment=None))):
        probe = SensitivityProbe(task=asked, baseline=baseline, recipe=RECIPE, choices=(choice,), pinned={})
        kinds[name] = probe.statistics.inputs
    assert torch.equal(kinds["moved"], kinds["plain"] + 3)
