import numpy as np
import pytest
import torch

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.digits_task import stratified_split
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import load_task
from mpsearch.training.trial import run_trial


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


@pytest.fixture(scope="module")
def baseline(task, tmp_path_factory):
    return trained_baseline(task, cache_dir=tmp_path_factory.mktemp("cache"))


def test_the_splits_are_fixed_disjoint_and_stratified(task):
    again = load_task("digits")
    assert (len(task.train), len(task.validation), len(task.test)) == (898, 449, 450)
    for name in ("train", "validation", "test"):
        split = getattr(task, name)
        assert torch.equal(split.inputs, getattr(again, name).inputs)
        share = torch.bincount(split.targets) / len(split)
        assert float((share - 0.1).abs().max()) < 0.01


@pytest.mark.parametrize("fractions", [(0.5, 0.25, 0.25), (0.9, 0.1), (1.0,)])
def test_a_stratified_split_gives_every_sample_to_one_part(fractions):
    labels = np.random.default_rng(0).integers(0, 7, 200)
    parts = stratified_split(labels, fractions)
    assert sorted(torch.cat(parts).tolist()) == list(range(200))


def test_pixels_lie_between_minus_one_and_one(task):
    assert float(task.train.inputs.min()) == -1
    assert float(task.train.inputs.max()) == 1


def test_the_baseline_reads_digits(baseline):
    assert baseline.validation_score > 0.95


@pytest.mark.parametrize(("scheme", "least"), [("w8a8", 0.95), ("w1.58a8", 0.9)])
def test_a_short_trial_stays_close_to_the_baseline(task, baseline, scheme, least):
    policy = PrecisionPolicy.uniform(["conv1", "conv2", "conv3", "conv4", "fc1", "fc2"], scheme)
    recipe = TrialRecipe(steps=40, high_bit_steps=5, batch_size=64, bn_samples=500)
    assert run_trial(task, baseline, policy, recipe).score > least


def test_there_is_a_multilayer_perceptron_too(tmp_path):
    task = load_task("digits", {"model": "mlp"})
    assert trained_baseline(task, cache_dir=tmp_path).validation_score > 0.93


def test_an_unknown_model_is_refused():
    with pytest.raises(ConfigError, match="must be one of cnn, mlp, xnor-cnn; got 'vit'"):
        load_task("digits", {"model": "vit"})


@pytest.mark.parametrize(
    "quantizers",
    [
        {"binary_activation": "xnor"},
        {"binary_activation": "sign", "binary": "xnor_plus_plus"},
        {"binary_activation": "sign", "sign_gradient": "swish"},
    ],
    ids=str,
)
def test_the_plain_sign_learns_where_batch_norm_stands_before_it(tmp_path_factory, quantizers):
    task = load_task("digits", {"model": "xnor-cnn"})
    baseline = trained_baseline(task, cache_dir=tmp_path_factory.getbasetemp())
    policy = PrecisionPolicy.uniform(["conv2", "conv3", "conv4", "fc1"], "w1a1")
    recipe = TrialRecipe(steps=40, batch_size=64, bn_samples=500, **quantizers)
    result = run_trial(task, baseline, policy, recipe)
    assert baseline.validation_score > 0.95
    assert result.score > 0.9
    assert result.score > result.calibrated_score


@pytest.mark.parametrize("model", ["cnn", "mlp", "xnor-cnn"])
def test_a_width_scales_every_layer_but_its_outer_sizes(model):
    def sizes(**args):
        made = load_task("digits", {"model": model, **args}).new_model()
        return {name: tuple(weight.shape) for name, weight in made.state_dict().items() if weight.ndim > 1}

    narrow, whole, wide = sizes(width=0.5), sizes(), sizes(width=2)
    assert narrow.keys() == whole.keys() == wide.keys()
    outer = {8 * 8, 10, 1, 3}  # pixels, classes, channels, kernel
    for name, shape in whole.items():
        for size, half, twice in zip(shape, narrow[name], wide[name], strict=True):
            assert (half, twice) == (size / 2, 2 * size) or (half == twice == size and size in outer)
    assert sizes(width=1) == whole


def test_width_one_is_no_argument_so_that_its_baseline_stays_the_same():
    assert load_task("digits", {"width": 1}).args == {"model": "cnn"}
    assert load_task("digits", {"width": 2}).args == {"model": "cnn", "width": 2}


@pytest.mark.parametrize("width", [0, -1, "2", float("nan")])
def test_what_is_no_width_is_refused(width):
    with pytest.raises(ConfigError, match="`width` must be a number above 0"):
        load_task("digits", {"width": width})
