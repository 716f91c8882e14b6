from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpsearch.errors import FormatError, ShapeError
from mpsearch.kernels.packing import pack_weights, packed_size_bytes, unpack_weights
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES

SCHEME_NAMES = tuple(WEIGHT_RANGES)


@pytest.mark.parametrize("name", SCHEME_NAMES)
@given(data=st.data())
def test_unpacking_returns_what_was_packed(name, data):
    low, high = WEIGHT_RANGES[name]
    elements = st.sampled_from((-1, 1)) if SCHEMES[name].weight_bits == 1 else st.integers(low, high)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=7))
    values = data.draw(hnp.arrays(np.int8, shape, elements=elements))
    packed = pack_weights(values, SCHEMES[name])
    assert packed.shape == (packed_size_bytes(values.size, SCHEMES[name]),)
    unpacked = unpack_weights(packed, SCHEMES[name], values.shape)
    assert unpacked.dtype == np.int8
    np.testing.assert_array_equal(unpacked, values)


@pytest.mark.parametrize("name", SCHEME_NAMES)
def test_a_packed_weight_takes_the_bits_that_its_scheme_claims(name):
    assert packed_size_bytes(40_000, SCHEMES[name]) == 40_000 * SCHEMES[name].storage_bits / 8
    assert packed_size_bytes(1, SCHEMES[name]) == 1
    assert packed_size_bytes(0, SCHEMES[name]) == 0


def test_32_bit_weights_take_4_bytes_and_are_not_packed():
    assert packed_size_bytes(3, FULL_PRECISION) == 12
    with pytest.raises(ShapeError, match="below 32 bits"):
        pack_weights(np.zeros(3, np.int8), FULL_PRECISION)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("w1a8", [1, -1, -1, -1, -1, -1, -1, -1, 1], [0b00000001, 0b1]),
        ("w1.58a8", [-1, 0, 1, 1, 1, 1], [0 + 3 + 2 * 9 + 2 * 27 + 2 * 81, 2]),
        ("w4a8", [-8, 7, 0], [0xF0, 0x08]),
        ("w8a8", [-128, 127], [0x80, 0x7F]),
    ],
)
def test_the_first_weight_lies_lowest_in_its_byte(name, values, expected):
    assert pack_weights(np.array(values, np.int8), SCHEMES[name]).tolist() == expected


@pytest.mark.parametrize("name", SCHEME_NAMES)
def test_data_of_another_length_or_type_is_refused(name):
    scheme = SCHEMES[name]
    packed = pack_weights(np.ones(20, np.int8), scheme)
    for wrong in (packed[:-1], np.append(packed, packed[:1]), packed[None], packed.astype(np.int16)):
        with pytest.raises(FormatError, match=f"20 packed weights of {name}"):
            unpack_weights(wrong, scheme, (20,))


def test_bytes_that_packing_never_writes_are_refused():
    with pytest.raises(FormatError, match="below 243; got 243"):
        unpack_weights(np.array([243], np.uint8), SCHEMES["w1.58a8"], (5,))
    for name, last in (("w1a1", 0b1000), ("w1.58a8", 81), ("w4a8", 0x10)):
        count = 3 if name != "w4a8" else 1
        with pytest.raises(FormatError, match="end in zeros"):
            unpack_weights(np.array([last], np.uint8), SCHEMES[name], (count,))


@pytest.mark.parametrize(
    ("name", "value"), [("w1a1", 0), ("w1a8", 2), ("w1.58a8", -2), ("w4a8", 8), ("w4a8", -9)]
)
def test_weights_out_of_range_are_refused(name, value):
    with pytest.raises(ShapeError, match=f"Weights of {name} must be"):
        pack_weights(np.array([value], np.int8), SCHEMES[name])


def test_weights_of_another_type_and_negative_counts_are_refused():
    with pytest.raises(ShapeError, match="int8; got float32"):
        pack_weights(np.ones(3, np.float32), SCHEMES["w8a8"])
    with pytest.raises(ShapeError, match="at least 0; got -1"):
        packed_size_bytes(-1, SCHEMES["w8a8"])
