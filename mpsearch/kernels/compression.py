"""How far packed weights can be compressed, by one stated coder."""

from __future__ import annotations

import zlib

CODER = "deflate"  # as docs and screens name it
_LEVEL = 6


def compressed_size_bytes(data: bytes) -> int:
    """Bytes of a zlib stream (Deflate, level 6) of the data, or of the data as they are where that is less.

    One bit a weight and five ternary weights a byte leave little to gain; 4- and 8-bit integers, most of them
    near 0, more.

    Source: RFC 1950, RFC 1951.
    """
    return min(len(data), len(zlib.compress(data, _LEVEL)))
