"""What follows a layer's scale and bias, fused into the step that computes it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ShapeError
from mpsearch.kernels.fused_multiply_add import fused_multiply_add


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epilogue:
    """A BatchNorm, a residual and bounds, in float32 and in this order, each step rounded once.

    y = fma(z, multiplier[c], offset[c])     without a multiplier it is 1, without an offset -0
    y = y + residual[pixel, c]
    y = min(high, max(low, y))               ReLU: low = 0; NaN stays NaN, and -0 stays -0

    These are the roundings of torch's own BatchNorm, ReLU and addition on a CPU with fused multiply-add.

    Shape: multiplier, offset (C,); residual: the id of a value of the result's shape.
    Raises: ShapeError if arrays are not float32 with one dimension and as many entries, the id is negative or
        low > high.
    """

    multiplier: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None
    residual: int | None = None
    low: float = -inf
    high: float = inf

    def __post_init__(self) -> None:
        arrays = {
            name: array
            for name, array in (("multiplier", self.multiplier), ("offset", self.offset))
            if array is not None
        }
        for name, array in arrays.items():
            if array.dtype != np.float32 or array.ndim != 1:
                raise ShapeError(f"`{name}` must be float32 (C,); got {array.dtype} {array.shape}.")
        if len({array.shape for array in arrays.values()}) > 1:
            raise ShapeError(
                "`multiplier` and `offset` must have as many entries; got "
                f"{' and '.join(str(array.shape) for array in arrays.values())}."
            )
        if self.residual is not None and self.residual < 0:
            raise ShapeError(f"`residual` must be the id of a value; got {self.residual}.")
        if not self.low <= self.high:
            raise ShapeError(f"`low` must be at most `high`; got {self.low} and {self.high}.")

    def affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Multiplier and offset, the missing one filled in; None if both are missing."""
        if self.multiplier is not None and self.offset is not None:
            return self.multiplier, self.offset
        if self.multiplier is not None:
            return self.multiplier, np.full_like(self.multiplier, -0.0)  # +0 would turn -0 into +0
        if self.offset is not None:
            return np.ones_like(self.offset), self.offset
        return None


def apply_epilogue(
    z: NDArray[np.float32], epilogue: Epilogue, residual: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """What `Epilogue` says; `residual` holds the numbers of the value that it names.

    Shape: z, residual (..., C) -> (..., C).
    Raises: ShapeError if the number of channels differs, or a residual is named and not given.
    """
    affine = epilogue.affine()
    if affine is not None:
        if affine[0].shape != z.shape[-1:]:
            raise ShapeError(f"An epilogue for {affine[0].size} channels cannot follow {z.shape[-1]}.")
        z = fused_multiply_add(z, *affine)
    if (residual is not None) != (epilogue.residual is not None):
        raise ShapeError("`residual` must be given if and only if the epilogue names one.")
    if residual is not None:
        z = z + residual
    low, high = np.float32(epilogue.low), np.float32(epilogue.high)
    z = np.where(low > z, low, z)
    return np.where(high < z, high, z)


def batch_norm_affine(
    *,
    weight: NDArray[np.float32] | None,
    bias: NDArray[np.float32] | None,
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    epsilon: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Multiplier and offset of a BatchNorm in evaluation, rounded as torch rounds them.

    multiplier = (1 / sqrt(variance + epsilon)) * weight
    offset = fma(-mean, multiplier, bias)

    fma(z, multiplier, offset) then equals torch's BatchNorm to the bit (tests/kernels/test_epilogue.py).

    Shape: all (C,) float32.
    Source: batch_norm_cpu_collect_linear_and_constant_terms in ATen/native/cpu/batch_norm_kernel.cpp,
        compiled with fused multiply-add.
    """
    one = np.float32(1)
    multiplier = one / np.sqrt(variance + np.float32(epsilon))
    if weight is not None:
        multiplier = multiplier * weight
    shift = np.zeros_like(mean) if bias is None else bias
    return multiplier, fused_multiply_add(-mean, multiplier, shift)
