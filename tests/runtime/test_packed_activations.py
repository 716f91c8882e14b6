"""Packed layers under every way of quantizing inputs that learns its numbers in training."""

import pytest
import torch
from torch import nn

from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_layer
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.runtime.packed_layer import PackedLayer

CHOICES = {
    name: (scheme, QuantizerChoice(**{family: name}))
    for scheme, family, names in (
        ("w4a8", "activation", ("lsq", "lsq_plus", "pact", "minmax", "dorefa")),
        ("w1a1", "binary_activation", ("rsign", "sign")),
    )
    for name in names
}
LAYERS = {
    "linear": (lambda: nn.Linear(70, 9), (5, 70)),
    "conv1d": (lambda: nn.Conv1d(5, 6, 5, stride=2, padding=3, dilation=2), (3, 5, 17)),
    "padded conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), (3, 4, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(9, 9, 3, padding=1, groups=9), (2, 9, 7, 7)),
}
INPUTS = {"signed": lambda x: x, "after relu": torch.relu, "after silu": nn.functional.silu}


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_trained_layer_computes_the_same_packed_to_the_bit(kind, name, inputs):
    torch.manual_seed(0)
    build, shape = LAYERS[kind]
    scheme, choice = CHOICES[name]
    layer = quantize_layer(build(), SCHEMES[scheme], choice)
    x = INPUTS[inputs](torch.randn(shape))
    layer.activation_quantizer.start_calibration()
    layer.activation_quantizer.observe(x)
    layer.activation_quantizer.end_calibration()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)  # moves zero points by several steps
    for _ in range(3):
        optimizer.zero_grad()
        (layer(1.5 * x) - 1).square().sum().backward()
        optimizer.step()
    trained = layer(x).detach()
    with torch.no_grad():
        scored = layer(x)
    assert torch.equal(PackedLayer(freeze_layer(layer))(x), scored)
    torch.testing.assert_close(scored, trained, rtol=1e-5, atol=1e-5 * float(trained.abs().max()))
