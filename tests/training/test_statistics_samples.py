"""BatchNorm is re-estimated on the inputs that suit the model: as they are, or varied as in its training."""

import dataclasses

import pytest
import torch

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training import batched_trials, trial
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.sensitivity.probe import LoweredChoice, SensitivityProbe
from mpsearch.training.statistics_samples import trial_statistics
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


def statistics_of(task, baseline, recipe=RECIPE):
    """(samples as they are, before training, after it)."""
    samples = trial_data(task, recipe, steps=1, seed=0).statistics
    teacher = baseline_model(task, baseline)
    return samples, *trial_statistics(task, baseline, teacher, recipe, samples, seed=0)


@pytest.mark.parametrize("is_asked_moved", [False, True])
def test_the_kind_is_taken_that_leaves_the_32_bit_model_the_lower_loss(prepared, is_asked_moved):
    samples, before, _ = statistics_of(*prepared(is_asked_moved=is_asked_moved))
    assert torch.equal(before.inputs, samples.inputs + 3 * is_asked_moved)


@pytest.mark.parametrize("is_asked_moved", [False, True])
@pytest.mark.parametrize("augment", [False, True])
def test_after_training_they_are_like_the_inputs_of_the_training(prepared, is_asked_moved, augment):
    recipe = dataclasses.replace(RECIPE, augment=augment)
    samples, _, after = statistics_of(*prepared(is_asked_moved=is_asked_moved), recipe)
    assert torch.equal(after.inputs, samples.inputs + 3 * augment)


def test_an_augment_that_changes_its_inputs_in_place_changes_copies(prepared):
    task, baseline = prepared(is_asked_moved=True)
    task = dataclasses.replace(task, augment=lambda inputs, _generator: inputs.add_(3))
    samples, before, after = statistics_of(task, baseline)
    assert torch.equal(before.inputs, samples.inputs + 3)
    assert torch.equal(after.inputs, samples.inputs)


def test_varying_draws_from_no_generator_of_the_trial(prepared):
    task, baseline = prepared(is_asked_moved=True)
    task = dataclasses.replace(task, augment=lambda inputs, _generator: inputs + torch.rand(1))
    samples = trial_data(task, RECIPE, steps=1, seed=0).statistics
    teacher = baseline_model(task, baseline)
    before = torch.random.get_rng_state()
    trial_statistics(task, baseline, teacher, RECIPE, samples, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


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


def test_sensitivities_are_measured_with_the_same_kinds(prepared):
    task, baseline = prepared(is_asked_moved=True)
    choice = LoweredChoice(name="0", layers=("0",), schemes=())
    probes = [
        SensitivityProbe(task=asked, baseline=baseline, recipe=RECIPE, choices=(choice,), pinned={})
        for asked in (task, dataclasses.replace(task, augment=None))
    ]
    varied, plain = probes
    assert torch.equal(varied.statistics.inputs, plain.statistics.inputs + 3)
    assert torch.equal(varied.tuned_statistics.inputs, plain.statistics.inputs)


def test_the_generators_of_gpus_are_left_alone(prepared, monkeypatch):
    task, baseline = prepared(is_asked_moved=False)

    def refused(_seed):
        raise AssertionError("it seeds those of GPUs too, whose state is not put back")

    samples = trial_data(task, RECIPE, steps=1, seed=0).statistics
    teacher = baseline_model(task, baseline)
    monkeypatch.setattr(torch, "manual_seed", refused)
    before, _ = trial_statistics(task, baseline, teacher, RECIPE, samples, seed=0)
    assert torch.equal(before.inputs, samples.inputs)
