import dataclasses

import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError, TaskError, TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training import trial, trial_data
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial import restore_trial_model, run_trial

RECIPE = TrialRecipe(steps=12, high_bit_steps=4, batch_size=32, calibration_samples=64, bn_samples=100)
QUANTIZED = ["w1a1", "w1a8", "w1.58a8", "w4a8", "w8a8"]


def uniform(scheme: str) -> PrecisionPolicy:
    return PrecisionPolicy({"0": scheme, "3": scheme})


@pytest.fixture
def baseline(tiny_task, tmp_path):
    return trained_baseline(tiny_task, cache_dir=tmp_path)


@pytest.mark.parametrize("scheme", QUANTIZED)
def test_the_same_seed_gives_the_same_result_to_the_bit(tiny_task, baseline, scheme):
    first, second = (run_trial(tiny_task, baseline, uniform(scheme), RECIPE, seed=3) for _ in range(2))
    assert (first.score, first.loss, first.curve) == (second.score, second.loss, second.curve)
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())


def test_what_ran_before_does_not_change_a_trial(tiny_task, tmp_path):
    fresh = trained_baseline(tiny_task, cache_dir=tmp_path)
    alone = run_trial(tiny_task, fresh, uniform("w4a8"), RECIPE)
    used = trained_baseline(tiny_task, cache_dir=tmp_path)
    run_trial(tiny_task, used, uniform("w1a1"), RECIPE)
    torch.rand(5)
    after = run_trial(tiny_task, used, uniform("w4a8"), RECIPE)
    assert (alone.loss, alone.curve) == (after.loss, after.curve)


def test_all_policies_see_the_same_batches(tiny_task, baseline):
    seen: dict[str, list[float]] = {}
    for scheme in ("w1a1", "w1.58a8"):
        sums = seen[scheme] = []

        def noted(output, targets, sums=sums):
            sums.append(float((targets * torch.arange(len(targets))).sum()))
            return nn.functional.cross_entropy(output, targets)

        run_trial(dataclasses.replace(tiny_task, loss=noted), baseline, uniform(scheme), RECIPE)
    assert seen["w1a1"] == seen["w1.58a8"]


def test_another_seed_sees_other_batches(tiny_task, baseline):
    first, second = (run_trial(tiny_task, baseline, uniform("w1a8"), RECIPE, seed=s) for s in (0, 1))
    assert first.curve != second.curve


def test_a_policy_of_32_bit_layers_is_the_baseline_and_is_not_trained(tiny_task, baseline):
    result = run_trial(tiny_task, baseline, uniform("w32a32"), RECIPE)
    assert (result.score, result.steps, result.curve) == (baseline.validation_score, 0, ())
    assert result.state_dict is baseline.state_dict


def test_the_score_is_never_below_that_of_calibration_alone(tiny_task, baseline):
    ruinous = dataclasses.replace(RECIPE, learning_rate=3.0)
    result = run_trial(tiny_task, baseline, uniform("w8a8"), ruinous)
    assert result.score == result.calibrated_score


@pytest.mark.parametrize("scheme", QUANTIZED)
def test_the_state_dict_restores_the_model_that_was_scored(tiny_task, baseline, scheme):
    policy = PrecisionPolicy({"0": scheme, "3": "w32a32"})
    result = run_trial(tiny_task, baseline, policy, RECIPE)
    model = restore_trial_model(tiny_task, policy, result.state_dict, RECIPE)
    assert evaluate(model, tiny_task.validation, tiny_task) == (result.score, result.loss)
    assert 0 <= trial.test_score(tiny_task, model) <= 1


def test_fine_tuning_recovers_what_binarization_lost(tiny_task, baseline):
    longer = dataclasses.replace(RECIPE, steps=60)
    result = run_trial(tiny_task, baseline, uniform("w1a8"), longer)
    assert result.score >= 0.9 * baseline.validation_score
    assert len(result.curve) == result.steps == 60


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_distillation_can_be_left_out_mixed_in_or_alone(tiny_task, baseline, weight):
    result = run_trial(
        tiny_task, baseline, uniform("w4a8"), dataclasses.replace(RECIPE, distillation_weight=weight)
    )
    assert bool(baseline.memory.outputs) == (weight > 0)
    assert result.steps == 4


def test_batches_vary_only_where_the_recipe_says_so(tiny_task, baseline):
    calls = []

    def augment(inputs, _generator):
        calls.append(len(inputs))
        return inputs

    task = dataclasses.replace(tiny_task, augment=augment)
    run_trial(task, baseline, uniform("w4a8"), dataclasses.replace(RECIPE, reestimate_batch_norm=False))
    assert not calls
    changed = dataclasses.replace(RECIPE, reestimate_batch_norm=False, augment=True)
    run_trial(task, baseline, uniform("w4a8"), changed)
    assert calls == [32] * 4


def test_a_nan_loss_fails_the_trial_with_its_step(tiny_task, baseline):
    def breaks(output, targets):
        loss = nn.functional.cross_entropy(output, targets)
        return loss * float("nan") if output.requires_grad else loss

    with pytest.raises(TrialError, match="must stay finite; it was nan at step 0 of 4"):
        run_trial(dataclasses.replace(tiny_task, loss=breaks), baseline, uniform("w8a8"), RECIPE)


def test_progress_counts_every_step(tiny_task, baseline):
    seen = []
    run_trial(
        tiny_task, baseline, uniform("w8a8"), RECIPE, on_progress=lambda *report: seen.append(report[:2])
    )
    assert seen == [(step, 4) for step in range(1, 5)]


def test_an_unknown_layer_is_refused(tiny_task, baseline):
    with pytest.raises(ConfigError, match="fc9"):
        run_trial(tiny_task, baseline, PrecisionPolicy({"fc9": "w8a8"}), RECIPE)


def test_weights_of_another_policy_are_refused(tiny_task, baseline):
    result = run_trial(tiny_task, baseline, uniform("w8a8"), RECIPE)
    with pytest.raises(TaskError, match="The weights must fit task 'blobs' with policy"):
        restore_trial_model(tiny_task, uniform("w1a1"), result.state_dict, RECIPE)


def test_a_task_without_a_test_split_has_no_test_score(tiny_task, baseline):
    task = dataclasses.replace(tiny_task, test=None)
    with pytest.raises(TaskError, match="needs a test split; task 'blobs' has none"):
        trial.test_score(task, trial.baseline_model(task, baseline))


def test_a_sample_more_than_a_full_batch_is_not_left_alone_in_one(tiny_task, baseline, monkeypatch):
    monkeypatch.setattr(trial_data, "STATISTICS_BATCH", 10)
    recipe = dataclasses.replace(RECIPE, calibration_samples=21, bn_samples=31)
    assert run_trial(tiny_task, baseline, uniform("w4a8"), recipe).score > 0
