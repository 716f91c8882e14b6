import numpy as np
import pytest
import torch
from torch import nn

from mpsearch.errors import TrialError
from mpsearch.kernels.reference import quantize_activations, token_scales
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.int8_activation import LsqActivation
from mpsearch.quant.layers import quantize_layer
from mpsearch.quant.per_token_activation import PerTokenActivation
from mpsearch.quant.quantizer_choice import QuantizerChoice


@pytest.fixture
def x():
    x = torch.randn(5, 3, 16, generator=torch.Generator().manual_seed(0))
    x[1, 1] = 0
    x[2] *= 1e-4
    x[3] *= 1e4
    return x


def test_integers_and_scales_are_those_of_the_reference_to_the_bit(x):
    quantizer = PerTokenActivation()
    rows = x.numpy()
    assert np.array_equal(quantizer.quantize(x)[0].numpy(), quantize_activations(rows, quantizer.format()))
    assert np.array_equal(quantizer.output_scale(x).numpy(), token_scales(rows))
    assert quantizer.quantize(x)[1].item() == 1


def test_each_rows_error_is_at_most_half_a_step_of_its_own(x):
    quantizer = PerTokenActivation()
    scale = quantizer.output_scale(x)
    error = (quantizer(x) * scale - x).abs()
    assert (error <= 0.5001 * scale).all()
    assert torch.equal(quantizer(x).abs().amax(-1)[x.abs().amax(-1) > 1e-5], torch.full((14,), 127.0))


def test_the_gradient_reaches_the_input_unchanged(x):
    x.requires_grad_()
    quantizer, upstream = PerTokenActivation(), torch.randn(5, 3, 16)
    (quantizer(x) * quantizer.output_scale(x)).backward(upstream)
    torch.testing.assert_close(x.grad, upstream)


def test_it_needs_no_calibration_but_refuses_inputs_that_are_not_finite():
    quantizer = PerTokenActivation()
    quantizer.start_calibration()
    quantizer.observe(torch.ones(2, 3))
    with pytest.raises(TrialError):
        quantizer.observe(torch.tensor([[1.0, torch.nan]]))


def test_a_convolution_keeps_one_learnt_scale():
    choice = QuantizerChoice(activation="per_token")
    linear = quantize_layer(nn.Linear(4, 4), SCHEMES["w8a8"], choice)
    conv = quantize_layer(nn.Conv2d(4, 4, 3), SCHEMES["w8a8"], choice)
    assert isinstance(linear.activation_quantizer, PerTokenActivation)
    assert isinstance(conv.activation_quantizer, LsqActivation)
