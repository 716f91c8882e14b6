from __future__ import annotations

import numpy as np
import pytest
import torch

from mpsearch.errors import ShapeError
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat
from mpsearch.kernels.reference import integer_output, quantize_activations, run_reference


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("scheme", WEIGHT_RANGES)
def test_sums_are_those_of_a_convolution_of_the_real_numbers_that_the_integers_stand_for(
    make_layer, scheme, groups
):
    layer = make_layer(
        scheme,
        columns=12,
        channels=6,
        kernel=(3, 2),
        padding=(2, 1),
        stride=(1, 2),
        dilation=(2, 1),
        groups=groups,
        zero_point=0 if scheme == "w1a1" else -128,
    )
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 6)).astype(np.float32)
    a = quantize_activations(x, layer.activation)
    zero_point = layer.activation.zero_point
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(a.astype(np.float64) - zero_point).permute(0, 3, 1, 2),
        torch.from_numpy(layer.weight.astype(np.float64)),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=groups,
    )
    sums = integer_output(layer, a)
    np.testing.assert_array_equal(sums, expected.permute(0, 2, 3, 1).numpy())
    y = run_reference(layer, x)
    real = sums * float(layer.activation.scale) * layer.weight_scale.astype(np.float64) + layer.bias
    np.testing.assert_allclose(y, real, rtol=1e-5, atol=1e-5)


def test_rounding_is_half_to_even_and_clips_to_the_format():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 200, -128.6, 300], np.float32)
    signed = ActivationFormat(bits=8, scale=np.float32(1))
    assert quantize_activations(x, signed).tolist() == [0, 2, 2, 0, -2, 127, 127, -128, 127]
    unsigned = ActivationFormat(bits=8, scale=np.float32(1), zero_point=-128)
    assert (quantize_activations(x, unsigned) + 128.0).tolist() == [0, 2, 2, 0, 0, 127, 200, 0, 255]


@pytest.mark.parametrize("zero_point", [0, -128])
def test_nan_becomes_the_real_number_zero(zero_point):
    fmt = ActivationFormat(bits=8, scale=np.float32(1), zero_point=zero_point)
    assert quantize_activations(np.array([np.nan], np.float32), fmt) == zero_point


def test_bits_are_plus_one_at_the_threshold_and_minus_one_for_nan():
    fmt = ActivationFormat(bits=1, scale=np.float32(1), threshold=np.array([0.5, 0.5, 0.5], np.float32))
    assert quantize_activations(np.array([[0.5, 0.49, np.nan]], np.float32), fmt).tolist() == [[1, -1, -1]]


def test_wrong_inputs_are_shape_errors(make_layer):
    layer = make_layer("w8a8", columns=2, channels=3, kernel=(3, 3))
    with pytest.raises(ShapeError, match="float32; got float64"):
        quantize_activations(np.zeros(3), layer.activation)
    with pytest.raises(ShapeError, match=r"int8 \(N, H, W, 3\)"):
        integer_output(layer, np.zeros((1, 4, 4, 2), np.int8))
    with pytest.raises(ShapeError, match="must fit"):
        integer_output(layer, np.zeros((1, 2, 4, 3), np.int8))
    binary = make_layer("w1a1", columns=2, channels=3)
    with pytest.raises(ShapeError, match="3 channels"):
        quantize_activations(np.zeros((1, 4), np.float32), binary.activation)
