from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.errors import ConfigError, ExportError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_layer, freeze_model
from mpsearch.quant.quantizer_choice import STANDARD, Binary, QuantizerChoice, Ternary, Uniform
from mpsearch.quant.swap import calibrate, quantize_model

LOW = [name for name in SCHEMES if name != "w32a32"]
CASES = {
    "linear": (lambda: nn.Linear(7, 5), (9, 7)),
    "linear without bias": (lambda: nn.Linear(7, 5, bias=False), (9, 7)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 5, stride=2, padding=3, dilation=2), (3, 4, 17)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (3, 4, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, padding="same", groups=4), (3, 4, 6, 6)),
}
WEIGHT_QUANTIZERS = [
    (scheme, family, name)
    for family, names, schemes in (
        ("binary", Binary, ("w1a8",)),
        ("ternary", Ternary, ("w1.58a8",)),
        ("uniform", Uniform, ("w4a8", "w8a8")),
    )
    for scheme in schemes
    for name in get_args(names)
    if name != "ttq"  # has two scales
]


def trained(case, scheme, choice=STANDARD):
    """A quantized layer after a few steps, so that nothing is as it was initialised."""
    torch.manual_seed(0)
    build, shape = CASES[case]
    model = quantize_model(nn.Sequential(build()), PrecisionPolicy({"0": scheme}), choice)
    calibrate(model, [torch.randn(shape).relu()])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(shape)).square().mean().backward()
        optimizer.step()
    return model[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("scheme", "family", "name"), WEIGHT_QUANTIZERS)
def test_integers_times_scale_are_the_fake_quantized_weights_to_the_bit(case, scheme, family, name):
    layer = trained(case, scheme, QuantizerChoice(**{family: name}))
    frozen = freeze_layer(layer)
    product = frozen.weight.astype(np.float32) * frozen.weight_scale[:, None, None, None]
    fake = layer.weight_quantizer(layer.weight).detach().numpy()
    assert np.array_equal(product.reshape(fake.shape), fake)


@pytest.mark.parametrize("scheme", LOW)
def test_activations_are_the_fake_quantized_ones_to_the_bit(scheme):
    layer = trained("conv2d", scheme)
    x = torch.randn(3, 4, 9, 8) * 2
    format_ = freeze_layer(layer).activation
    if format_.bits == 1:
        integers = np.where(x.numpy() >= format_.threshold[:, None, None], np.float32(1), np.float32(-1))
    else:
        low, high = -128 - format_.zero_point, 127 - format_.zero_point
        integers = np.clip(np.rint(x.numpy() * format_.inverse_scale), low, high)
    fake = layer.activation_quantizer(x).detach().numpy()
    assert np.array_equal(format_.scale * integers, fake)


def test_geometry_is_that_of_the_layer_with_conv1d_as_a_row():
    frozen = {case: freeze_layer(trained(case, "w4a8")) for case in CASES}
    conv1d, conv2d = frozen["conv1d"], frozen["conv2d"]
    assert conv1d.weight.shape == (6, 4, 1, 5)
    assert (conv1d.stride, conv1d.padding, conv1d.dilation) == ((1, 2), (0, 3), (1, 2))
    assert conv2d.weight.shape == (6, 4, 3, 2)
    assert (conv2d.stride, conv2d.padding, conv2d.dilation) == ((2, 1), (1, 0), (1, 2))
    assert frozen["linear"].weight.shape == (5, 7, 1, 1)
    assert frozen["linear without bias"].bias is None
    assert (frozen["depthwise"].groups, frozen["depthwise"].in_channels) == (4, 4)
    assert frozen["depthwise"].padding == (1, 1)


def test_a_frozen_layer_does_not_change_when_training_goes_on():
    layer = trained("linear", "w1a1")
    frozen = freeze_layer(layer)
    arrays = (frozen.weight, frozen.weight_scale, frozen.bias, frozen.activation.threshold)
    before = [array.copy() for array in arrays]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(1)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_freezing_a_model_names_each_quantized_layer_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model.append(model[0])
    quantized = quantize_model(model, PrecisionPolicy({"0": "w1a8"}))
    calibrate(quantized, [torch.randn(5, 4, generator=torch.Generator().manual_seed(0))])
    assert list(freeze_model(quantized)) == ["0"]


def test_a_32_bit_layer_cannot_be_frozen():
    with pytest.raises(ConfigError, match=r"got a Linear\. Use `quantize_model`"):
        freeze_layer(nn.Linear(2, 2))


def test_a_layer_must_be_calibrated_before_it_is_frozen():
    model = quantize_model(nn.Sequential(nn.Linear(2, 2)), PrecisionPolicy({"0": "w1a1"}))
    with pytest.raises(ConfigError, match="must be calibrated"):
        freeze_model(model)


def test_weights_that_are_not_finite_are_refused():
    layer = trained("linear", "w4a8")
    with torch.no_grad():
        layer.weight[0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"`weight` of a QuantLinear \(w4a8\) holds NaN"):
        freeze_layer(layer)
