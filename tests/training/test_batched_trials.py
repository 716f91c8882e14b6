import dataclasses
import logging

import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError, TrialError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.swap import calibrate
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.batched_model import BatchedModel
from mpsearch.training.batched_trials import run_trials, why_one_by_one
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.student import new_student
from mpsearch.training.trial import baseline_model, restore_trial_model, run_trial

RECIPE = TrialRecipe(steps=12, high_bit_steps=4, batch_size=32, calibration_samples=64, bn_samples=100)
SCHEMES = ["w1a1", "w1a8", "w1.58a8", "w4a8", "w8a8", "w32a32"]
MIXED = [PrecisionPolicy({"0": first, "3": last}) for first, last in zip(SCHEMES, SCHEMES[::-1], strict=True)]


@pytest.fixture
def baseline(tiny_task, tmp_path):
    return trained_baseline(tiny_task, cache_dir=tmp_path)


@pytest.fixture
def image_task(tiny_task):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(96, 1, 8, 8, generator=generator)
    targets = torch.randint(10, (96,), generator=generator)
    split = Split(images, targets)
    return dataclasses.replace(
        tiny_task,
        build_model=DigitsCnn,
        train=split,
        validation=split.take(32),
        test=None,
        example_inputs=(images[:1],),
    )


def assert_alike(together, alone):
    """The losses of the first steps to the precision of sums; later ones drift apart.

    A gradient that is nothing but rounding moves a weight by a whole step of Adam, either way.
    """
    assert together.steps == alone.steps
    assert together.calibrated_score == alone.calibrated_score
    assert together.curve[0] == pytest.approx(alone.curve[0], rel=1e-5)
    assert together.curve[:3] == pytest.approx(alone.curve[:3], rel=5e-3)
    assert together.curve == pytest.approx(alone.curve, rel=0.2)


def test_policies_trained_together_learn_what_each_learns_alone(tiny_task, baseline):
    together = run_trials(tiny_task, baseline, MIXED, RECIPE, seed=3)
    for policy, result in zip(MIXED, together, strict=True):
        alone = run_trial(tiny_task, baseline, policy, RECIPE, seed=3)
        assert_alike(result, alone)
        assert result.score == pytest.approx(alone.score, abs=0.03)
        assert result.loss == pytest.approx(alone.loss, rel=0.05)


@pytest.mark.parametrize(
    "quantizers",
    [
        {"ternary": "absmean", "binary": "elastic", "uniform": "minmax"},
        {"ternary": "seq", "binary": "ir_net", "uniform": "dorefa", "activation": "minmax"},
        {"ternary": "ttq", "binary": "binary_connect", "sign_gradient": "approx_sign"},
        {"binary": "elastic", "binary_gradient": "clipped"},
        {"binary_gradient": "tanh"},
        {"binary_activation": "sign"},
    ],
)
def test_any_quantizer_may_be_trained_together(tiny_task, baseline, quantizers):
    recipe = dataclasses.replace(RECIPE, **quantizers)
    # Each scheme in one layer of two policies that differ in the other one.
    policies = [PrecisionPolicy({"0": name, "3": last}) for name in SCHEMES[:-1] for last in (name, "w8a8")]
    for policy, result in zip(policies, run_trials(tiny_task, baseline, policies, recipe), strict=True):
        assert_alike(result, run_trial(tiny_task, baseline, policy, recipe))


@pytest.mark.parametrize(
    ("scheme", "quantizers"),
    [("w4a8", {"uniform": "dorefa"}), ("w1.58a8", {"ternary": "absmean"}), ("w1.58a8", {"ternary": "seq"})],
)
def test_weights_of_one_policy_do_not_scale_those_of_another(tiny_task, baseline, scheme, quantizers):
    recipe = dataclasses.replace(RECIPE, **quantizers)
    policies = [PrecisionPolicy({"0": scheme})] * 2
    students = [new_student(baseline_model(tiny_task, baseline), policy, recipe) for policy in policies]
    inputs = tiny_task.train.inputs[:8]
    for student in students:
        calibrate(student, [inputs])
    batched = BatchedModel(students, in_channels=True)
    batched.train()
    with torch.no_grad():
        students[1][0].weight.mul_(3)  # training draws policies apart
    for student, together in zip(students, batched(inputs).chunk(2), strict=True):
        torch.testing.assert_close(together, student(inputs))


def students_of(policies, task, baseline):
    students = [new_student(baseline_model(task, baseline), policy, RECIPE) for policy in policies]
    for student in students:
        calibrate(student, [task.train.inputs])
    return [student.train() for student in students]


def test_every_parameter_and_statistic_gets_what_it_gets_alone(image_task, tmp_path):
    baseline = trained_baseline(image_task, cache_dir=tmp_path)
    names = ["conv1", "conv2", "conv3", "conv4", "fc1", "fc2"]
    mixed = [dict(zip(names, SCHEMES[turn:] + SCHEMES[:turn], strict=True)) for turn in range(3)]
    policies = [PrecisionPolicy(policy) for policy in mixed]
    together, apart = (students_of(policies, image_task, baseline) for _ in range(2))
    inputs, targets = image_task.train.inputs[:32], image_task.train.targets[:32]
    batched = BatchedModel(together, in_channels=True)
    batched.train()
    outputs = batched(inputs).chunk(len(together))
    sum(nn.functional.cross_entropy(output, targets) for output in outputs).backward()
    batched.hand_out_gradients()
    for one, other in zip(together, apart, strict=True):
        nn.functional.cross_entropy(other(inputs), targets).backward()
        for (name, parameter), alone in zip(one.named_parameters(), other.parameters(), strict=True):
            distance = (parameter.grad - alone.grad).norm()
            assert distance <= 0.02 * alone.grad.norm() + 1e-6, name  # an input may round the other way
        for (name, buffer), alone in zip(one.named_buffers(), other.buffers(), strict=True):
            assert torch.allclose(buffer.float(), alone.float(), rtol=1e-2, atol=1e-3), name


def test_convolutions_are_trained_together(image_task, tmp_path):
    baseline = trained_baseline(image_task, cache_dir=tmp_path)
    names = ["conv1", "conv2", "conv3", "conv4", "fc1", "fc2"]
    policies = [PrecisionPolicy(dict.fromkeys(names, scheme)) for scheme in ("w1.58a8", "w4a8", "w8a8")]
    recipe = dataclasses.replace(RECIPE, steps=4)
    for policy, result in zip(policies, run_trials(image_task, baseline, policies, recipe), strict=True):
        assert_alike(result, run_trial(image_task, baseline, policy, recipe))


def test_statistics_that_are_a_plain_average_are_kept_by_each_policy_for_itself(tiny_task, tmp_path):
    def build():
        model = tiny_task.build_model()
        model[1].momentum = None
        return model

    task = dataclasses.replace(tiny_task, build_model=build)
    baseline = trained_baseline(task, cache_dir=tmp_path)
    recipe = dataclasses.replace(RECIPE, reestimate_batch_norm=False)
    for policy, result in zip(MIXED, run_trials(task, baseline, MIXED, recipe), strict=True):
        alone = run_trial(task, baseline, policy, recipe)
        assert_alike(result, alone)
        mean, expected = (found.state_dict["1.running_mean"] for found in (result, alone))
        torch.testing.assert_close(mean, expected, rtol=0.05, atol=0.05)


def test_the_same_seed_gives_the_same_results_to_the_bit_and_another_one_others(tiny_task, baseline):
    first, second, other = (run_trials(tiny_task, baseline, MIXED, RECIPE, seed=seed) for seed in (3, 3, 4))
    assert [result.curve for result in first] == [result.curve for result in second]
    for one, two in zip(first, second, strict=True):
        assert all(torch.equal(tensor, two.state_dict[name]) for name, tensor in one.state_dict.items())
    assert first[0].curve != other[0].curve


def test_each_state_dict_restores_the_model_that_was_scored(tiny_task, baseline):
    for policy, result in zip(MIXED, run_trials(tiny_task, baseline, MIXED, RECIPE), strict=True):
        if not policy.is_full_precision:
            model = restore_trial_model(tiny_task, policy, result.state_dict, RECIPE)
            assert evaluate(model, tiny_task.validation, tiny_task) == (result.score, result.loss)


def test_the_teacher_runs_once_for_all(tiny_task, baseline):
    run_trials(tiny_task, baseline, MIXED, RECIPE)
    assert len(baseline.memory.outputs) == max(RECIPE.steps_for(policy) for policy in MIXED)


def test_a_loss_of_the_tasks_own_is_computed_for_each_policy(tiny_task, baseline):
    def smoothed(output, targets):
        return nn.functional.cross_entropy(output, targets, label_smoothing=0.1)

    task = dataclasses.replace(tiny_task, loss=smoothed)
    for policy, result in zip(MIXED, run_trials(task, baseline, MIXED, RECIPE), strict=True):
        assert_alike(result, run_trial(task, baseline, policy, RECIPE))


def test_a_policy_whose_loss_breaks_fails_alone(tiny_task, baseline):
    calls = iter(range(1000))

    def breaks_once(output, targets):
        loss = nn.functional.cross_entropy(output, targets)
        return loss * float("nan") if output.requires_grad and next(calls) == 4 else loss

    task = dataclasses.replace(tiny_task, loss=breaks_once)
    policies = [PrecisionPolicy({"0": scheme, "3": scheme}) for scheme in ("w1a8", "w1.58a8", "w4a8")]
    first, second, third = run_trials(task, baseline, policies, RECIPE)
    assert isinstance(second, TrialError)  # of three policies, the second one's second step
    assert "it was nan at step 1 of 12" in str(second)
    assert len(first.curve) == 12
    assert len(third.curve) == 4


def test_share_0_scores_each_calibrated_model_once(tiny_task, baseline):
    outputs = []

    def counted(output, targets):
        outputs.append(len(output))
        return nn.functional.cross_entropy(output, targets)

    task = dataclasses.replace(tiny_task, loss=counted)
    policies = [PrecisionPolicy({"0": scheme}) for scheme in ("w1a8", "w4a8")]
    for policy, result in zip(policies, run_trials(task, baseline, policies, RECIPE, share=0), strict=True):
        assert result.score == result.calibrated_score
        assert result.loss == run_trial(tiny_task, baseline, policy, RECIPE, share=0).loss
        assert (result.steps, result.curve) == (0, ())
    assert outputs == [80, 80]  # the whole validation split, once a policy


def test_steps_are_told_by_the_place_of_their_policy(tiny_task, baseline):
    told = []
    run_trials(tiny_task, baseline, MIXED[1:3], RECIPE, on_step=lambda *step: told.append(step[:3]))
    assert told[:3] == [(0, 1, 9), (1, 1, 9), (0, 2, 9)]
    assert told[-1] == (1, 9, 9)


class ReadsAcross(nn.Module):
    """Its output for a sample depends on the samples beside it."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(8, 16)
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        h = self.fc1(x).relu()
        return self.fc2(h + h.mean())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"progressive": True}, "`progressive: True` trains one policy at a time"),
        ({"ema": 0.9}, "`ema: 0.9` trains one policy at a time"),
    ],
)
def test_what_cannot_be_batched_is_trained_one_by_one_and_the_log_says_why(
    tiny_task, baseline, caplog, change, reason
):
    recipe = dataclasses.replace(RECIPE, **change)
    assert why_one_by_one(tiny_task, RECIPE) is None
    with caplog.at_level(logging.INFO):
        results = run_trials(tiny_task, baseline, MIXED[1:3], recipe)
    assert reason in caplog.text
    for policy, result in zip(MIXED[1:3], results, strict=True):
        assert result.curve == run_trial(tiny_task, baseline, policy, recipe).curve


def test_a_model_that_looks_across_its_batch_is_trained_one_by_one(tiny_task, tmp_path, caplog):
    task = dataclasses.replace(tiny_task, build_model=ReadsAcross)
    baseline = trained_baseline(task, cache_dir=tmp_path)
    policies = [PrecisionPolicy({"fc1": scheme, "fc2": scheme}) for scheme in ("w1a8", "w4a8")]
    with caplog.at_level(logging.INFO):
        results = run_trials(task, baseline, policies, RECIPE)
    assert "each sample of a batch by itself" in caplog.text
    assert results[0].curve == run_trial(task, baseline, policies[0], RECIPE).curve


def test_dropout_is_trained_one_by_one(tiny_task):
    model = nn.Sequential(nn.Linear(8, 3), nn.Dropout(0.5))
    task = dataclasses.replace(tiny_task, build_model=lambda: model)
    assert "must draw no random numbers" in why_one_by_one(task, RECIPE)


def test_an_unknown_layer_is_refused(tiny_task, baseline):
    with pytest.raises(ConfigError, match="no 'nothing'"):
        run_trials(tiny_task, baseline, [*MIXED[:2], PrecisionPolicy({"nothing": "w8a8"})], RECIPE)
