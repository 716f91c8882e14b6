"""Bytes that a layer takes in a packed model."""

from __future__ import annotations

from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.layer_shape import Extra
from mpsearch.precision.scheme import Scheme

FLOAT_BYTES = 4


def layer_memory_bytes(
    *,
    weight_count: int,
    in_channels: int,
    out_channels: int,
    has_bias: bool,
    scheme: Scheme,
    extras: tuple[Extra, ...] = (),
) -> int:
    """Packed weights, scales and bias of one layer, stored once however often it is called.

    bytes = packed(weights) + 4 N weight scales + activation parameters (8 bits: 4; 1 bit: 4 C thresholds + 4)
            + 4 N bias; at 32 bits 4 bytes a weight + 4 N bias. Ternary weights of two scales: + 4 N; ternary
    inputs: + 4.
    """
    size = packed_size_bytes(weight_count, scheme)
    if has_bias:
        size += FLOAT_BYTES * out_channels
    if not scheme.is_full_precision:
        size += FLOAT_BYTES * out_channels + FLOAT_BYTES
        if "two_scales" in extras:
            size += FLOAT_BYTES * out_channels
        if "ternary_input" in extras:
            size += FLOAT_BYTES
        if scheme.activation_bits == 1:
            size += FLOAT_BYTES * in_channels
    return size
