import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import ShapeError, TrialError
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.xnor_activation import XnorActivation

GEOMETRY = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_k_is_the_box_filtered_mean_of_the_magnitudes_over_the_channels():
    x = seeded(2, 6, 9, 8)
    quantizer = XnorActivation(6, kernel=(3, 3), **GEOMETRY)
    mean = x.abs().mean(1, keepdim=True)
    expected = F.conv2d(mean, torch.full((1, 1, 3, 3), 1 / 9), None, **GEOMETRY)
    torch.testing.assert_close(quantizer.output_scale(x), expected)


def test_k_of_a_sequence_and_of_features():
    x = seeded(2, 6, 9)
    k = XnorActivation(6, kernel=(3,), stride=(2,), padding=(0,), dilation=(1,)).output_scale(x)
    assert k.shape == (2, 1, 4)
    assert k[1, 0, 2] == pytest.approx(float(x[1, :, 4:7].abs().mean()))
    torch.testing.assert_close(XnorActivation(9).output_scale(x), x.abs().mean(-1, keepdim=True))


def test_a_layer_is_the_convolution_of_signs_times_alpha_times_k():
    conv = nn.Conv2d(6, 5, 3, **GEOMETRY)
    x = seeded(2, 6, 9, 8)
    layer = quantize_layer(conv, SCHEMES["w1a1"], QuantizerChoice(binary_activation="xnor"))
    alpha = conv.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)
    k = layer.activation_quantizer.output_scale(x)
    product = F.conv2d(x.sign(), conv.weight.sign(), None, **GEOMETRY) * alpha * k
    expected = product + conv.bias.view(-1, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x), expected)


def test_the_gradient_is_that_of_the_clipped_sign_and_none_through_k():
    x = seeded(3, 6, seed=1).mul_(2).requires_grad_()
    upstream = seeded(3, 6, seed=2)
    quantizer = XnorActivation(6)
    (quantizer(x) * quantizer.output_scale(x)).backward(upstream)
    k = x.detach().abs().mean(-1, keepdim=True)
    torch.testing.assert_close(x.grad, upstream * k * (x.detach().abs() <= 1))


def test_nothing_is_learnt_and_no_calibration_needed_but_inputs_must_be_finite():
    quantizer = XnorActivation(2)
    assert not list(quantizer.parameters())
    assert quantizer.quantize(torch.tensor([[0.0, -1.0]]))[0].tolist() == [[1, -1]]
    with pytest.raises(TrialError):
        quantizer.observe(torch.tensor([[1.0, torch.inf]]))
    with pytest.raises(ShapeError):
        quantizer(torch.ones(1, 3))
