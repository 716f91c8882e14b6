from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpsearch.errors import ShapeError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.precision.scheme import SCHEMES

HUGE = ActivationFormat(bits=8, scale=np.float32(1e38))
BINARY = ActivationFormat(bits=1, scale=np.float32(1), threshold=np.zeros(8, np.float32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": SCHEMES["w32a32"]}, "below 32 bits; got w32a32"),
        ({"weight": np.ones((4, 8, 1, 1), np.float32)}, "must be int8.*got float32"),
        ({"weight": np.ones((4, 8), np.int8)}, r"int8 \(N, C / groups, KH, KW\)"),
        ({"weight": np.ones((0, 8, 1, 1), np.int8)}, "not empty"),
        ({"weight": np.full((4, 8, 1, 1), 8, np.int8)}, r"lie in -8\.\.7; got 8\.\.8"),
        ({"weight_scale": np.ones(3, np.float32)}, r"`weight_scale` must be float32 \(4,\)"),
        ({"bias": np.ones(4)}, r"`bias` must be float32 \(4,\); got float64"),
        ({"weight_scale": np.array([1, np.nan, 1, 1], np.float32)}, "`weight_scale` must be finite"),
        ({"weight_scale": np.full(4, 3e38, np.float32)[::-1], "activation": HUGE}, "times up to "),
        ({"bias": np.full(4, np.inf, np.float32)}, "`bias` must be finite"),
        ({"activation": BINARY}, "8-bit activations; got 1"),
        ({"stride": (0, 1)}, r"`stride` must be two whole numbers in 1\.\.32768; got \(0, 1\)"),
        ({"stride": (1,)}, "`stride` must be two"),
        ({"padding": (-1, 0)}, r"`padding` must be two whole numbers in 0\.\.32768"),
        ({"padding": (0, 2**31)}, "`padding` must be two"),
        ({"dilation": (1, 2**63)}, "`dilation` must be two"),
        ({"dilation": (1.5, 1)}, r"`dilation` must be two.*got \(1\.5, 1\)"),
        ({"groups": 3}, "divide 4 output channels; got 3"),
        ({"groups": 0}, "at least 1 .* got 0"),
        ({"groups": -2}, "at least 1 .* got -2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make_layer, changes, message):
    layer = make_layer("w4a8", columns=4, channels=8)
    with pytest.raises(ShapeError, match=message):
        dataclasses.replace(layer, **changes)


def test_binary_weights_are_never_zero(make_layer):
    layer = make_layer("w1a8", columns=4, channels=8)
    with pytest.raises(ShapeError, match=r"-1 or \+1; got 0"):
        dataclasses.replace(layer, weight=np.zeros((4, 8, 1, 1), np.int8))


def test_a_binary_layer_needs_a_threshold_for_each_input_channel(make_layer):
    layer = make_layer("w1a1", columns=4, channels=9)
    with pytest.raises(ShapeError, match=r"must have 9 entries; got \(8,\)"):
        dataclasses.replace(layer, activation=BINARY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 8, "scale": np.float32(0)}, "must be > 0, and finite like its inverse; got 0"),
        ({"bits": 8, "scale": np.float32("nan")}, "finite like its inverse; got nan"),
        ({"bits": 8, "scale": np.float32("inf")}, "finite like its inverse; got inf"),
        ({"bits": 8, "scale": np.float32(1e-45)}, "finite like its inverse; got 1.4"),
        ({"bits": 8, "scale": np.float32(1), "zero_point": 128}, "zero point in -128..127.*got 128"),
        ({"bits": 8, "scale": np.float32(1), "threshold": BINARY.threshold}, "no threshold"),
        ({"bits": 1, "scale": np.float32(1)}, "threshold per input channel"),
        ({"bits": 1, "scale": np.float32(1), "threshold": np.full(2, np.nan, np.float32)}, "got NaN"),
        ({"bits": 1, "scale": np.float32(1), "threshold": BINARY.threshold, "zero_point": 9}, "got 9"),
        ({"bits": 4, "scale": np.float32(1)}, "1 or 8 bits; got 4"),
    ],
)
def test_an_activation_format_that_no_kernel_reads_is_refused(fields, message):
    with pytest.raises(ShapeError, match=message):
        ActivationFormat(**fields)
