import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.quant.layers import QuantConv1d, QuantConv2d, QuantLinear, quantize_layer
from mpsearch.quant.quantizer_choice import QuantizerChoice

LOW = [scheme for scheme in SCHEMES.values() if not scheme.is_full_precision]


@pytest.fixture(params=LOW, ids=str)
def scheme(request):
    return request.param


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def calibrated(layer, x):
    layer.activation_quantizer.start_calibration()
    layer.activation_quantizer.observe(x)
    layer.activation_quantizer.end_calibration()
    return layer


def test_linear_multiplies_quantized_input_and_quantized_weight(scheme):
    x = torch.randn(3, 4, 7)
    layer = calibrated(QuantLinear(nn.Linear(7, 5), scheme), x)
    x_hat, w_hat = layer.activation_quantizer(x), layer.weight_quantizer(layer.weight)
    torch.testing.assert_close(layer(x), x_hat @ w_hat.T + layer.bias)


def test_convolution_pads_with_the_real_zero(scheme):
    x = torch.randn(2, 4, 9, 9).relu() + 1  # far from zero: any other padding shows
    layer = calibrated(QuantConv2d(nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False), scheme), x)
    x_hat, w_hat = layer.activation_quantizer(x), layer.weight_quantizer(layer.weight)
    expected = F.conv2d(F.pad(x_hat, (1, 1, 1, 1)), w_hat, stride=2)
    torch.testing.assert_close(layer(x), expected)


def test_output_is_the_same_with_and_without_gradients_within_float_rounding(scheme):
    x = torch.randn(2, 4, 9, 9)
    layer = calibrated(QuantConv2d(nn.Conv2d(4, 6, 3), scheme), x)
    with torch.no_grad():
        y = layer(x)
    torch.testing.assert_close(y, layer(x).detach(), rtol=1e-5, atol=1e-5)


def test_names_of_the_parameters_are_kept_so_that_32_bit_state_loads(scheme):
    source = nn.Conv1d(3, 4, 3)
    layer = QuantConv1d(nn.Conv1d(3, 4, 3), scheme)
    keys = layer.load_state_dict(source.state_dict(), strict=False)
    assert not keys.unexpected_keys
    assert all(key.startswith(("weight_quantizer.", "activation_quantizer.")) for key in keys.missing_keys)
    assert torch.equal(layer.weight, source.weight)
    assert torch.equal(layer.bias, source.bias)


def test_the_layer_takes_over_the_parameters_themselves(scheme):
    source = nn.Linear(3, 4)
    layer = quantize_layer(source.eval(), scheme)
    assert layer.weight is source.weight
    assert not layer.training
    assert not layer.weight_quantizer.training


@pytest.mark.parametrize(
    ("padding", "kernel", "dilation", "numeric"),
    [("same", 3, 1, (1, 1)), ("same", (5, 1), 2, (4, 0)), ("valid", 4, 1, (0, 0)), (2, 3, 1, (2, 2))],
)
def test_string_padding_becomes_numbers_that_give_the_same_output(padding, kernel, dilation, numeric):
    source = nn.Conv2d(2, 3, kernel, padding=padding, dilation=dilation)
    x = torch.randn(2, 2, 11, 11)
    layer = calibrated(quantize_layer(source, SCHEMES["w8a8"]), x)
    assert layer.padding == numeric
    torch.testing.assert_close(layer(x), source(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "padding mode 'circular'"),
        (nn.Conv2d(2, 2, 4, padding="same"), "asymmetric"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "computed from other parameters"),
        (nn.Linear(2, 2, dtype=torch.float64), "torch.float64"),
        (nn.Conv3d(2, 2, 1), "got a Conv3d"),
        (nn.BatchNorm1d(2), "got a BatchNorm1d"),
    ],
)
def test_what_no_kernel_computes_is_refused_with_the_reason(layer, reason):
    with pytest.raises(ConfigError, match=reason):
        quantize_layer(layer, SCHEMES["w4a8"])


def test_a_quantized_layer_is_not_quantized_again():
    with pytest.raises(ConfigError, match="got a QuantLinear"):
        quantize_layer(QuantLinear(nn.Linear(2, 2), SCHEMES["w4a8"]), SCHEMES["w8a8"])


def test_full_precision_has_no_quantizers():
    with pytest.raises(ConfigError, match="Only schemes below 32 bits"):
        QuantLinear(nn.Linear(2, 2), FULL_PRECISION)


def test_an_unknown_quantizer_is_refused():
    with pytest.raises(ConfigError, match=r"`ternary` must be one of twn.*; got 'tern'"):
        QuantizerChoice(ternary="tern")


def test_the_ternary_quantizer_can_be_chosen():
    layers = [
        QuantLinear(nn.Linear(9, 9), SCHEMES["w1.58a8"], QuantizerChoice(ternary=name))
        for name in ("twn", "absmean")
    ]
    assert [type(layer.weight_quantizer).__name__ for layer in layers] == ["TwnQuantizer", "AbsmeanQuantizer"]


def test_bf16_autocast_keeps_the_quantizers_in_float32(scheme):
    x = torch.randn(2, 4, 9, 9)
    layer = calibrated(QuantConv2d(nn.Conv2d(4, 6, 3), scheme), x)
    exact = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x.bfloat16().float())
        assert layer.weight_quantizer(layer.weight).dtype == torch.float32
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad.isfinite().all()
    assert (y.float() - exact).abs().mean() < 0.1 * exact.abs().mean() + 0.1


def test_channels_last_training_steps_give_the_same_gradients(scheme):
    x = torch.randn(2, 4, 9, 9)
    layer = calibrated(QuantConv2d(nn.Conv2d(4, 6, 3, padding=1), scheme), x)
    gradients = []
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        layer.zero_grad()
        layer(given).square().sum().backward()
        gradients.append([p.grad for p in layer.parameters()])
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


def test_a_layer_with_hooks_is_refused_because_its_stand_in_would_not_run_them():
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with pytest.raises(ConfigError, match="it has hooks"):
        quantize_layer(layer, SCHEMES["w8a8"])
