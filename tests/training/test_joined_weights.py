import pytest
import torch
from torch import nn

from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.training.joined_weights import groups_to_join


def layers_of(scheme, choice):
    """Two layers that have been trained for different shares of their steps."""
    torch.manual_seed(0)
    layers = [quantize_layer(nn.Linear(6, 4), SCHEMES[scheme], choice) for _ in range(2)]
    for layer, t in zip(layers, (0.2, 0.7), strict=True):
        layer.weight_quantizer.anneal(t)
    return layers


@pytest.mark.parametrize(
    ("scheme", "quantizers"),
    [
        ("w1a8", {}),
        ("w1a8", {"binary": "elastic"}),
        ("w1a8", {"binary": "binary_connect", "binary_gradient": "clipped"}),
        ("w1.58a8", {}),
        ("w4a8", {}),
    ],
)
def test_weights_of_a_kind_are_joined_however_long_their_policies_train(scheme, quantizers):
    layers = layers_of(scheme, QuantizerChoice(**quantizers))
    assert groups_to_join(layers) == [layers]


@pytest.mark.parametrize("quantizers", [{"binary_gradient": "tanh"}, {"binary": "ir_net"}])
def test_weights_whose_gradients_sharpen_with_the_training_are_not(quantizers):
    assert groups_to_join(layers_of("w1a8", QuantizerChoice(**quantizers))) == []
