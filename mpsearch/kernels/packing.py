"""Dense storage of integer weights: 1 bit, 1.6 bits (base 3), 4 bits or 8 bits each.

This is how weights lie in a file; kernels re-order them for speed when a layer is built.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import FormatError, ShapeError
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.precision.scheme import Scheme

# Weights per byte. Ternary: 3^5 = 243 codes fit a byte.
_WEIGHTS_PER_BYTE: dict[float, int] = {1: 8, 1.58: 5, 4: 2, 8: 1}
_POWERS_OF_THREE: NDArray[np.uint8] = np.array([1, 3, 9, 27, 81], np.uint8)
_INT4_OFFSET = 8  # codes 0..15 stand for -8..7


def packed_size_bytes(count: int, scheme: Scheme) -> int:
    """Bytes of `count` packed weights: ceil(count / weights per byte); 4 each at 32 bits.

    Raises: ShapeError if `count` is negative.
    """
    if count < 0:
        raise ShapeError(f"A count of weights must be at least 0; got {count}.")
    if scheme.is_full_precision:
        return 4 * count
    return -(-count // _per_byte(scheme))


def pack_weights(values: NDArray[np.int8], scheme: Scheme) -> NDArray[np.uint8]:
    """Weights in row-major order, first one lowest in its byte; unused places of the last byte are 0.

    1 bit: bit 1 for +1. Ternary: sum of (w_i + 1) * 3^i over 5 weights. 4 bit: nibbles of w + 8.
    8 bit: two's complement.

    Shape: values (*) int8 -> (packed_size_bytes(values.size, scheme),).
    Raises: ShapeError if the values are not int8, out of range, or binary and 0.
    """
    per_byte = _per_byte(scheme)
    if values.dtype != np.int8:
        raise ShapeError(f"Weights to pack must be int8; got {values.dtype}.")
    low, high = WEIGHT_RANGES[scheme.name]
    out_of_range = values.size > 0 and (values.min() < low or values.max() > high)
    if out_of_range or (scheme.weight_bits == 1 and not values.all()):
        raise ShapeError(
            f"Weights of {scheme} must be {'-1 or +1' if scheme.weight_bits == 1 else f'in {low}..{high}'}; "
            f"got {values.min()}..{values.max()}. Quantize before packing."
        )
    flat = values.reshape(-1)
    if scheme.weight_bits == 8:
        return flat.view(np.uint8).copy()
    if scheme.weight_bits == 1:
        return np.packbits(flat > 0, bitorder="little")
    codes = np.zeros((packed_size_bytes(flat.size, scheme), per_byte), np.uint8)
    offset = 1 if scheme.weight_bits == 1.58 else _INT4_OFFSET
    codes.reshape(-1)[: flat.size] = flat + offset
    if scheme.weight_bits == 4:
        return (codes[:, 0] | codes[:, 1] << 4).astype(np.uint8)
    return (codes @ _POWERS_OF_THREE).astype(np.uint8)


def unpack_weights(data: NDArray[np.uint8], scheme: Scheme, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """The weights that `pack_weights` packed.

    Shape: data (packed_size_bytes(prod(shape), scheme),) -> shape.
    Raises: FormatError if the data has another length or type, or holds a byte that packing never writes.
    """
    count = math.prod(shape)
    expected = packed_size_bytes(count, scheme)
    if data.dtype != np.uint8 or data.shape != (expected,):
        raise FormatError(
            f"{count} packed weights of {scheme} take {expected} bytes of uint8; "
            f"got {data.dtype} {data.shape}. The file is truncated or of another layer."
        )
    if scheme.weight_bits == 8:
        return data.view(np.int8).reshape(shape).copy()
    codes = _codes(data, scheme)
    if codes[count:].any():
        raise FormatError(f"The last byte of packed {scheme} weights must end in zeros; got {data[-1]:#04x}.")
    signed = codes[:count].astype(np.int8).reshape(shape)
    if scheme.weight_bits == 1:
        return np.where(signed > 0, 1, -1).astype(np.int8)
    return (signed - (1 if scheme.weight_bits == 1.58 else _INT4_OFFSET)).astype(np.int8)


def _codes(data: NDArray[np.uint8], scheme: Scheme) -> NDArray[np.uint8]:
    if scheme.weight_bits == 1:
        return np.unpackbits(data, bitorder="little")
    if scheme.weight_bits == 4:
        return np.stack((data & 0xF, data >> 4), axis=1).reshape(-1)
    if data.size and data.max() >= 3**5:
        raise FormatError(f"A byte of packed ternary weights must be below 243; got {data.max()}.")
    digits: NDArray[np.uint8] = data[:, None] // _POWERS_OF_THREE % np.uint8(3)
    return digits.reshape(-1)


def _per_byte(scheme: Scheme) -> int:
    if scheme.weight_bits not in _WEIGHTS_PER_BYTE:
        raise ShapeError(f"Packed weights have a scheme below 32 bits; got {scheme}.")
    return _WEIGHTS_PER_BYTE[scheme.weight_bits]
