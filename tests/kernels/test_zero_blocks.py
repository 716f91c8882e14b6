"""Ternary layers whose zero blocks are left out: the same results, fewer bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.kernels.native import available_isas
from mpsearch.kernels.reference import integer_output, quantize_activations, run_reference

BLOCK_CHANNELS, UNIT_COLUMNS = 16, 64

CASES = {
    "linear": ((9, 1, 1), {"channels": 256, "columns": 200}),
    "linear of one row": ((1, 1, 1), {"channels": 250, "columns": 130}),
    "3x3": ((1, 6, 7), {"channels": 48, "columns": 70, "kernel": (3, 3), "padding": (1, 1)}),
    "3x3 dilated, strided": (
        (2, 9, 9),
        {
            "channels": 32,
            "columns": 17,
            "kernel": (3, 3),
            "padding": (2, 2),
            "dilation": (2, 2),
            "stride": (2, 2),
        },
    ),
    "grouped": (
        (1, 5, 5),
        {"channels": 64, "columns": 160, "kernel": (3, 3), "padding": (1, 1), "groups": 2},
    ),
}


def with_zero_blocks(layer, fraction, seed=0):
    """Blocks of 16 input channels x 64 output channels set to 0, in every tap for itself."""
    rng = np.random.default_rng(seed)
    weight = layer.weight.copy()
    columns = weight.shape[0] // layer.groups
    for group in range(layer.groups):
        for first in range(group * columns, (group + 1) * columns, UNIT_COLUMNS):
            last = min(first + UNIT_COLUMNS, (group + 1) * columns)
            for channel in range(0, weight.shape[1], BLOCK_CHANNELS):
                zero = rng.random(weight.shape[2:]) < fraction
                weight[first:last, channel : channel + BLOCK_CHANNELS, zero] = 0
    return replace(layer, weight=weight)


@pytest.mark.parametrize("fraction", [0.5, 1.0])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("isa", available_isas())
def test_a_layer_without_its_zero_blocks_equals_the_reference(make_layer, native_on, isa, name, fraction):
    (batch, height, width), fields = CASES[name]
    dense = make_layer("w1.58a8", zero_point=-128, **fields)
    layer = with_zero_blocks(dense, fraction)
    native = native_on(isa, layer)
    assert native.packed_bytes < native_on(isa, dense).packed_bytes
    for seed, rows in ((1, batch), (2, batch + 1), (3, batch)):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, height, width, layer.in_channels)).astype(np.float32)
        a = quantize_activations(x, layer.activation)
        expected = integer_output(layer, a)
        np.testing.assert_array_equal(native.run_integer(a), expected)
        y = np.empty(expected.shape, np.float32)
        native.run(x, y)
        np.testing.assert_array_equal(y, run_reference(layer, x))


def test_a_layer_with_few_zero_blocks_stays_dense(make_layer, native_on):
    dense = make_layer("w1.58a8", columns=128, channels=1024)
    weight = dense.weight.copy()
    weight[:64, :16] = 0
    sparse = replace(dense, weight=weight)
    isa = available_isas()[0]
    assert native_on(isa, sparse).packed_bytes == native_on(isa, dense).packed_bytes


@pytest.mark.parametrize(("kernel", "is_sparse"), [((1, 1), False), ((3, 3), True)])
def test_a_fifth_of_zero_blocks_pays_only_with_several_taps(make_layer, native_on, kernel, is_sparse):
    dense = make_layer("w1.58a8", columns=128, channels=160, kernel=kernel)
    weight = dense.weight.copy()
    weight[:, :32] = 0
    isa = available_isas()[0]
    bytes_without = native_on(isa, replace(dense, weight=weight)).packed_bytes
    assert (bytes_without < native_on(isa, dense).packed_bytes) == is_sparse
