"""Rounding activations to a uniform grid, with gradients: in one pass over memory each way on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mpsearch.kernels.extension import forced_isa, load_extension
from mpsearch.quant.native_memory import memory_place, native_order, native_threads
from mpsearch.quant.quantizer import flat_dot

# Not 0, but added to any other whole number of steps it leaves that number.
_LOST = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The integers low..high, both included.

    `slack` is how many steps beyond them an input still counts as not clipped: with half a step, the rest is
    what rounds to no integer of the grid; with none, what lies beyond its ends or at them. `learns_inside`
    says whether the scale also learns from rounding errors (LSQ) or from clipped inputs only (PACT).
    """

    low: int
    high: int
    slack: float = 0.5
    learns_inside: bool = True

    @property
    def margin(self) -> float:
        """The slack as the passes take it: to the native ones, 0 also says that nothing is learnt inside."""
        assert self.learns_inside or not self.slack
        return self.slack or (_LOST if self.learns_inside else 0.0)


@torch.no_grad()
def grid_integers(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """clip(round_half_even(x * (1 / s)), low, high) as float32; the kernels multiply by the same inverse.

    Shape: x (*) -> (*); scale ().
    """
    return _rounded(x, 1 / scale, scale.new_ones(()), grid, torch.float32)


def _rounded(x: Tensor, inverse: Tensor, scale: Tensor, grid: Grid, dtype: torch.dtype) -> Tensor:
    """Scale * clip(round_half_even(x * inverse), low, high), in float32 and then in `dtype`.

    One pass over memory on the CPU, in the extension, four elsewhere.
    """
    order = native_order(x, dtype)
    if order is None:
        return (x.float() * inverse).round_().clamp_(grid.low, grid.high).mul_(scale).to(dtype)
    y = torch.empty_like(x, dtype=dtype, memory_format=order)
    load_extension().round_to_grid(
        *memory_place(x),
        *memory_place(y),
        x.numel(),
        float(scale),
        float(inverse),
        grid.low,
        grid.high,
        native_threads(),
        forced_isa(),
    )
    return y


def _gradients(grad: Tensor, x: Tensor, scale: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Of x, of the scale, and of the place of the grid in steps, as `round_to_grid` says."""
    order = native_order(x, grad.dtype)
    if order is None:
        return _gradients_in_torch(grad.float(), x, scale, grid)
    grad = grad.contiguous(memory_format=order)
    grad_x = torch.empty_like(x, memory_format=order)
    by_scale, by_offset = load_extension().round_to_grid_backward(
        *memory_place(grad),
        *memory_place(x),
        grad_x.data_ptr(),
        x.numel(),
        float(scale),
        float(1 / scale),
        grid.low,
        grid.high,
        grid.margin,
        native_threads(),
        forced_isa(),
    )
    return grad_x, scale.new_tensor(by_scale), scale.new_tensor(by_offset)


def _gradients_in_torch(grad: Tensor, x: Tensor, scale: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    wide, step = x.float(), float(scale)
    y = _rounded(wide, 1 / scale, scale, grid, torch.float32)
    # The gradient inside an open interval, else 0, in one pass.
    inside = torch.ops.aten.hardtanh_backward(
        grad, wide, (grid.low - grid.margin) * step, (grid.high + grid.margin) * step
    )
    # y = s * q gives g * q where clipped, g * (q - x / s) inside, or g * 0 there.
    by_scale = (flat_dot(grad, y) - flat_dot(inside, wide if grid.learns_inside else y)) / scale
    return inside.to(x.dtype), by_scale, (grad.sum() - inside.sum()) * scale


class _RoundToGrid(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, scale, _offset, grid, dtype = given
        ctx.save_for_backward(x, scale)
        ctx.grid = grid
        return _rounded(x, 1 / scale, scale, grid, dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        grad_x, grad_scale, grad_offset = _gradients(grads[0], x, scale, ctx.grid)
        by_scale, by_offset = ctx.needs_input_grad[1:3]
        return grad_x, grad_scale if by_scale else None, grad_offset if by_offset else None, None, None


def product_type(x: Tensor) -> torch.dtype:
    """The type in which a product of x would be computed: that of autocast where it is on, else float32."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def round_to_grid(x: Tensor, scale: Tensor, grid: Grid, offset: Tensor | None = None) -> Tensor:
    """Compute s * q with q = clip(round_half_even(x * (1 / s)), low, high), in the type of `product_type`.

    With v = x / s: x gets g where low - slack < v < high + slack, else 0. s gets the sum of g * q over the
    clipped inputs and, if it learns inside, of g * (q - v) over the others. `offset`, by which the whole grid
    was moved up, in steps, gets the sum of g * s over the clipped inputs.

    Shape: x (*) -> (*); scale and offset ().
    Source: Esser et al. 2020, arXiv:1902.08153; clipped inputs alone: Choi et al. 2018, arXiv:1805.06085;
        offset: Bhalgat et al. 2020, arXiv:2004.09576.
    """
    y: Tensor = _RoundToGrid.apply(x, scale, offset, grid, product_type(x))
    return y
