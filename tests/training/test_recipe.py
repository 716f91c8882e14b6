import pytest

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.recipe import BaselineRecipe, TrialRecipe

LAYERS = ["a", "b", "c", "d"]


def policy(*schemes: str) -> PrecisionPolicy:
    return PrecisionPolicy(dict(zip(LAYERS, schemes, strict=True)))


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"steps": True},
        {"batch_size": -1},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"weight_decay": -1e-4},
        {"distillation_weight": 1.5},
        {"temperature": 0},
        {"ternary": "tern"},
        {"augment": "yes"},
        {"feature_distillation": -1},
        {"low_bit_weight_decay": "0.1"},
        {"low_bit_decay_until": 1.1},
        {"learning_rate_by_layer": 1},
        {"scale_learning_rate_factor": 0},
        {"progressive": None},
        {"freeze_oscillating": 0},
        {"ema": 1},
        {"prune": 1.0},
        {"dense_sparse_dense": -0.5},
        {"gradient_bits": 9},
        {"gradient_bits": True},
        {"gradient_bits": 4.0},
        {"reestimate_batch_norm": "no"},
        {"fold_batch_norm": 2},
        {"device": "tpu"},
    ],
)
def test_a_trial_setting_out_of_range_is_refused_by_name(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"`{name}` must"):
        TrialRecipe(**setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"optimizer": "lion"},
        {"momentum": 1.0},
        {"warmup_fraction": -0.1},
        {"gradient_clip": 0},
        {"bfloat16": 1},
    ],
)
def test_a_baseline_setting_out_of_range_is_refused_by_name(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"`{name}` must"):
        BaselineRecipe(**setting)


def test_a_policy_of_32_bit_layers_takes_no_steps():
    assert TrialRecipe().steps_for(policy(*["w32a32"] * 4)) == 0


def test_from_four_bits_on_a_policy_is_adjusted_for_few_steps_at_the_low_rate():
    recipe = TrialRecipe(steps=300, high_bit_steps=60)
    chosen = policy("w4a8", "w8a8", "w32a32", "w4a8")
    assert recipe.steps_for(chosen) == 60
    assert recipe.learning_rate_for(chosen) == recipe.learning_rate


def test_share_0_takes_no_steps_and_any_other_at_least_one():
    recipe = TrialRecipe(high_bit_steps=60)
    chosen = policy(*["w4a8"] * 4)
    assert [recipe.steps_for(chosen, share) for share in (0, 1e-6, 0.1, 1)] == [0, 1, 6, 60]


def test_share_0_is_the_cheapest_fidelity():
    assert TrialRecipe(fidelities=[0, 0.1, 1]).fidelities == (0, 0.1, 1)


def test_steps_grow_with_the_number_of_layers_below_two_bits():
    recipe = TrialRecipe(steps=400)
    low = [policy(*["w1.58a8"] * count, *["w8a8"] * (4 - count)) for count in range(1, 5)]
    assert [recipe.steps_for(chosen) for chosen in low] == [250, 300, 350, 400]


@pytest.mark.parametrize("scheme", ["w1a1", "w1a8", "w1.58a8"])
def test_one_layer_below_two_bits_raises_the_learning_rate(scheme):
    recipe = TrialRecipe()
    assert recipe.learning_rate_for(policy(scheme, "w8a8", "w8a8", "w8a8")) == recipe.low_bit_learning_rate


@pytest.mark.parametrize("name", ["calibration_samples", "bn_samples"])
def test_statistics_need_two_samples(name):
    with pytest.raises(ConfigError, match=f"`{name}` must be a whole number of at least 2; got 1"):
        TrialRecipe(**{name: 1})


@pytest.mark.parametrize(
    "shares", [(), (0.5,), (0.5, 0.5, 1), (1, 0.5), (-0.1, 1), (0.5, 2), ("a", 1), 0.5, None]
)
def test_fidelities_that_do_not_rise_to_one_are_refused(shares):
    with pytest.raises(ConfigError, match="shares of the steps that rise to 1"):
        TrialRecipe(fidelities=shares)


def test_fidelities_may_be_a_list():
    assert TrialRecipe(fidelities=[0.1, 1]) == TrialRecipe(fidelities=(0.1, 1.0))
