"""The yardstick: every sequence runs, and what cannot run is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mpsearch.errors import KernelError, ShapeError
from mpsearch.kernels.native import NativeLayer, available_isas
from mpsearch.kernels.peak import peak_macs_per_s, peak_sequences, read_bytes_per_s, sequence_of
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES


@pytest.mark.parametrize("isa", available_isas())
def test_every_sequence_of_an_available_implementation_can_be_timed(isa):
    for sequence in peak_sequences(isa):
        assert peak_macs_per_s(isa, sequence) > 0
    named = {sequence_of(isa, scheme) for scheme in WEIGHT_RANGES} - {None}
    assert named <= set(peak_sequences(isa))


def test_an_unknown_sequence_is_refused():
    with pytest.raises(KernelError, match="No sequence 'vpmagic'"):
        peak_macs_per_s(available_isas()[0], "vpmagic")


@pytest.mark.parametrize("count", [576, 1000, 4096])
def test_a_read_of_any_length_and_alignment_is_timed(count):
    memory = np.ones(count + 7, np.uint8)
    assert read_bytes_per_s(memory[7:]) > 0


def test_a_read_of_too_few_bytes_is_refused():
    with pytest.raises(KernelError, match="at least 576 bytes"):
        read_bytes_per_s(np.ones(575, np.uint8))


@pytest.mark.parametrize("scheme", WEIGHT_RANGES)
def test_the_product_alone_repeats_the_last_call(make_layer, scheme):
    layer = make_layer(scheme, columns=20, channels=32, kernel=(3, 3), padding=(1, 1))
    native = NativeLayer(layer)
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 32)).astype(np.float32)
    expected, again = np.empty((2, 1, 5, 5, 20), np.float32)
    with pytest.raises(ShapeError, match="Run the layer"):
        native.run_product(again)
    native.run(x, expected)
    native.run_product(again)
    np.testing.assert_array_equal(again, expected)
    with pytest.raises(ShapeError, match="had 500 elements; got 480"):
        native.run_product(np.empty((1, 5, 4, 24), np.float32))
