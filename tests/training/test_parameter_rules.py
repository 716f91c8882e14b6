import dataclasses

import torch
from torch import nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.swap import quantize_model
from mpsearch.training.parameter_rules import carry_state, low_bit_decay, trial_optimizer
from mpsearch.training.recipe import TrialRecipe

POLICY = PrecisionPolicy({"0": "w1a8", "2": "w4a8"})
RECIPE = TrialRecipe(
    learning_rate=1e-4,
    low_bit_learning_rate=1e-2,
    weight_decay=0.3,
    low_bit_weight_decay=0.2,
    scale_learning_rate_factor=0.5,
)


def student(policy=POLICY):
    torch.manual_seed(0)
    return quantize_model(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), policy)


def rules(model, recipe, policy=POLICY):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in trial_optimizer(model, policy, recipe).param_groups
        for parameter in group["params"]
    }


def test_decay_and_rate_go_by_the_bits_of_the_layer():
    assert rules(student(), RECIPE) == {
        "0.weight": (1e-2, 0.2),
        "2.weight": (1e-2, 0.3),
        "0.bias": (1e-2, 0.0),
        "1.weight": (1e-2, 0.0),
        "1.bias": (1e-2, 0.0),
        "2.bias": (1e-2, 0.0),
        "0.activation_quantizer.log_scale": (5e-3, 0.0),
        "2.activation_quantizer.log_scale": (5e-3, 0.0),
        "2.weight_quantizer.log_step": (5e-3, 0.0),
    }


def test_by_layer_only_weights_below_two_bits_take_the_higher_rate():
    by_layer = dataclasses.replace(RECIPE, learning_rate_by_layer=True)
    found = rules(student(), by_layer)
    assert {name for name, (rate, _) in found.items() if rate == 1e-2} == {"0.weight"}
    assert found["2.weight"][0] == 1e-4
    assert found["2.weight_quantizer.log_step"][0] == 5e-5


def test_the_decay_of_low_bits_ends_when_it_is_told_to():
    optimizer = trial_optimizer(student(), POLICY, RECIPE)
    rule = low_bit_decay(optimizer, 0.5)
    decays = []
    for t in (0.0, 0.4, 0.5, 0.9):
        rule(t)
        decays.append([group["weight_decay"] for group in optimizer.param_groups])
    assert decays == [[0.3, 0.2, 0.0, 0.0]] * 2 + [[0.3, 0.0, 0.0, 0.0]] * 2


def test_moments_go_on_with_parameters_of_the_same_name():
    first, second = student(), student(PrecisionPolicy({"0": "w1a8", "2": "w1.58a8"}))
    optimizers = [trial_optimizer(model, POLICY, RECIPE) for model in (first, second)]
    for parameter in first.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers[0].step()
    carry_state((first, optimizers[0]), (second, optimizers[1]))
    moments = optimizers[0].state[first[2].weight]["exp_avg"]
    assert optimizers[1].state[second[2].weight]["exp_avg"] is moments
    assert len(optimizers[1].state) == len(list(second.parameters()))
