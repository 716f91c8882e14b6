"""What each setting of a recipe does to a whole trial."""

import dataclasses

import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.fold_batch_norm import FoldedBatchNorm
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial import restore_trial_model, run_trial

RECIPE = TrialRecipe(
    steps=18,
    high_bit_steps=6,
    batch_size=32,
    low_bit_learning_rate=0.03,
    calibration_samples=64,
    bn_samples=100,
)
POLICY = PrecisionPolicy({"0": "w1.58a8", "3": "w1a1"})
SETTINGS = [
    {"feature_distillation": 1.0},
    {"low_bit_weight_decay": 5.0},
    {"low_bit_weight_decay": 5.0, "low_bit_decay_until": 0.5},
    {"learning_rate_by_layer": True},
    {"scale_learning_rate_factor": 10.0},
    {"progressive": True},
    {"progressive": True, "ema": 0.9, "freeze_oscillating": 0.005, "prune": 0.5, "feature_distillation": 0.1},
    {"freeze_oscillating": 0.001},
    {"ema": 0.99},
    {"prune": 0.6},
    {"dense_sparse_dense": 0.9},
    {"gradient_bits": 2},
    {"reestimate_batch_norm": False},
    {"fold_batch_norm": True},
    {"fold_batch_norm": True, "progressive": True},
]


@pytest.fixture
def baseline(tiny_task, tmp_path):
    return trained_baseline(tiny_task, cache_dir=tmp_path)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_setting_changes_what_is_trained_the_same_way_each_time(tiny_task, baseline, setting):
    recipe = dataclasses.replace(RECIPE, **setting)
    plain = run_trial(tiny_task, baseline, POLICY, RECIPE)
    first, second = (run_trial(tiny_task, baseline, POLICY, recipe) for _ in range(2))
    assert (first.score, first.loss, first.curve) == (second.score, second.loss, second.curve)
    assert (first.loss, first.curve) != (plain.loss, plain.curve)
    assert first.steps == len(first.curve) == plain.steps == 18
    model = restore_trial_model(tiny_task, POLICY, first.state_dict, recipe)
    assert evaluate(model, tiny_task.validation, tiny_task) == (first.score, first.loss)


def test_share_0_scores_the_calibrated_model_and_trains_nothing(tiny_task, baseline):
    calls = []
    result = run_trial(
        tiny_task, baseline, POLICY, RECIPE, share=0, on_progress=lambda *report: calls.append(report)
    )
    trained = run_trial(tiny_task, baseline, POLICY, RECIPE)
    assert result.score == result.calibrated_score == trained.calibrated_score
    assert (result.steps, result.curve, calls) == (0, (), [])
    assert not torch.equal(result.state_dict["0.weight"], trained.state_dict["0.weight"])
    assert torch.equal(result.state_dict["0.weight"], baseline.state_dict["0.weight"])


def test_progress_counts_on_from_stage_to_stage(tiny_task, baseline):
    seen = []
    recipe = dataclasses.replace(RECIPE, progressive=True)
    run_trial(tiny_task, baseline, POLICY, recipe, on_progress=lambda *report: seen.append(report[:2]))
    assert seen == [(step, 18) for step in range(1, 19)]


def test_pruned_layers_keep_their_share_of_zeros(tiny_task, baseline):
    result = run_trial(tiny_task, baseline, POLICY, dataclasses.replace(RECIPE, prune=0.75))
    model = restore_trial_model(tiny_task, POLICY, result.state_dict, RECIPE)
    ternary, binary = (model[place].weight_quantizer.quantize(model[place].weight)[0] for place in (0, 3))
    assert float((ternary == 0).float().mean()) >= 0.75
    assert not bool((binary == 0).any())


def test_the_average_is_scored_and_changes_nothing_in_training(tiny_task, baseline):
    averaging = dataclasses.replace(RECIPE, ema=0.999)
    plain, averaged = (run_trial(tiny_task, baseline, POLICY, recipe) for recipe in (RECIPE, averaging))
    assert averaged.curve == plain.curve
    start = baseline.state_dict["0.weight"]
    moved = [float((found.state_dict["0.weight"] - start).norm()) for found in (averaged, plain)]
    assert 0 < moved[0] < moved[1]


def test_without_reestimation_the_statistics_are_those_of_training(tiny_task, baseline):
    recipe = dataclasses.replace(RECIPE, reestimate_batch_norm=False)
    calibrated = run_trial(tiny_task, baseline, POLICY, recipe, share=0).state_dict["1.running_mean"]
    assert torch.equal(calibrated, baseline.state_dict["1.running_mean"])


def test_a_folded_trial_has_no_batch_norm_and_keeps_the_names_of_its_tensors(tiny_task, baseline):
    recipe = dataclasses.replace(RECIPE, fold_batch_norm=True)
    result = run_trial(tiny_task, baseline, POLICY, recipe)
    model = restore_trial_model(tiny_task, POLICY, result.state_dict, recipe)
    assert isinstance(model[1], FoldedBatchNorm)
    assert set(result.state_dict) == set(run_trial(tiny_task, baseline, POLICY, RECIPE, share=0).state_dict)


def test_the_tensors_of_a_folded_trial_make_the_32_bit_models_norm_change_nothing(tiny_task, baseline):
    recipe = dataclasses.replace(RECIPE, fold_batch_norm=True)
    result = run_trial(tiny_task, baseline, POLICY, recipe)
    scored = restore_trial_model(tiny_task, POLICY, result.state_dict, recipe)
    packed = tiny_task.new_model().eval()
    packed.load_state_dict(result.state_dict, strict=False)
    packed[0], packed[3] = scored[0], scored[3]
    assert isinstance(packed[1], nn.BatchNorm1d)
    with torch.no_grad():
        assert torch.equal(packed(tiny_task.validation.inputs), scored(tiny_task.validation.inputs))


def test_a_model_without_a_graph_cannot_be_folded(tiny_task, baseline):
    class Unexported(nn.Sequential):
        def forward(self, x):
            return super().forward(torch.erfinv(x.tanh() / 2))

    def build():
        return Unexported(*tiny_task.build_model())

    task = dataclasses.replace(tiny_task, build_model=build)
    with pytest.raises(ConfigError, match=r"`fold_batch_norm` needs the model's graph.*erfinv"):
        run_trial(task, baseline, POLICY, dataclasses.replace(RECIPE, fold_batch_norm=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_trial_on_a_gpu_learns_as_one_on_the_processor(tiny_task, baseline, bfloat16):
    recipe = dataclasses.replace(RECIPE, steps=60, bfloat16=bfloat16)
    on_gpu = dataclasses.replace(recipe, device="cuda", progressive=True, ema=0.5, gradient_bits=8)
    here = run_trial(tiny_task, baseline, POLICY, dataclasses.replace(on_gpu, device="cpu"))
    there = [run_trial(tiny_task, baseline, POLICY, on_gpu) for _ in range(2)]
    assert there[0].curve == there[1].curve
    assert abs(there[0].score - here.score) < 0.1
    assert all(tensor.device.type == "cpu" for tensor in there[0].state_dict.values())
    restore_trial_model(tiny_task, POLICY, there[0].state_dict, on_gpu)
