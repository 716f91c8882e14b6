"""a * b + c in float32 with one rounding, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fused_multiply_add(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Multiply and add with one rounding: a * b + c.

    The product of two float32 is exact in float64, but the sum is not, and rounding it twice may differ from
    rounding it once. So the sum is rounded to odd first (its last bit says whether anything was lost),
    after which a second rounding, to half as many bits, is right.

    Shape: broadcast against one another.
    Source: Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using
        rounding to odd".
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        product = np.multiply(a, b, dtype=np.float64)
        addend = np.broadcast_to(np.asarray(c, np.float64), np.broadcast_shapes(product.shape, np.shape(c)))
        total = np.asarray(product + addend)
        of_addend = total - product
        lost = (product - (total - of_addend)) + (addend - of_addend)
        is_even = (total.view(np.int64) & 1) == 0
        inexact = np.isfinite(total) & (lost != 0) & is_even
        odd = np.nextafter(total, np.where(lost > 0, np.inf, -np.inf))
        return np.where(inexact, odd, total).astype(np.float32)
