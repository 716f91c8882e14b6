import torch
from torch import nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.parameter_groups import parameter_groups
from mpsearch.quant.swap import quantize_model


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 4))


def names(quantized, group):
    known = {parameter: name for name, parameter in quantized.named_parameters()}
    return {known[parameter] for parameter in group}


def test_every_parameter_is_in_exactly_one_group():
    quantized = quantize_model(model(), PrecisionPolicy({"0": "w4a8", "2": "w1a1", "3": "w1.58a8"}))
    groups = parameter_groups(quantized)
    together = [*groups.weights, *groups.latent, *groups.scales]
    assert len(together) == len(set(together)) == len(list(quantized.parameters()))
    assert names(quantized, groups.latent) == {"2.weight", "3.weight"}
    assert names(quantized, groups.scales) == {
        "0.weight_quantizer.log_step",
        "0.activation_quantizer.log_scale",
        "2.activation_quantizer.threshold",
        "2.activation_quantizer.log_scale",
        "3.activation_quantizer.log_scale",
    }


def test_a_32_bit_model_has_weights_only():
    groups = parameter_groups(model())
    assert len(groups.weights) == 8
    assert groups.latent == groups.scales == ()


def test_frozen_parameters_are_in_no_group():
    quantized = quantize_model(model().requires_grad_(requires_grad=False), PrecisionPolicy({"0": "w1a8"}))
    groups = parameter_groups(quantized)
    assert groups.weights == groups.latent == ()
    assert len(groups.scales) == 1


def test_a_weight_shared_with_a_binary_layer_is_latent():
    shared = model()
    shared[3].weight = shared[0].weight
    quantized = quantize_model(shared, PrecisionPolicy({"0": "w8a8", "3": "w1a8"}))
    assert names(quantized, parameter_groups(quantized).latent) == {"0.weight"}
