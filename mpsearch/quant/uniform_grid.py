"""Rounding activations to a uniform grid, forward and backward, in few passes over memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mpsearch.quant.cache_blocks import cache_blocks
from mpsearch.quant.quantizer import flat_dot


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The integers low..high, both included.

    `slack` is how many steps beyond them an input still counts as not clipped. With half a step, the rest is
    what rounds to no integer of the grid, and the scale also learns from rounding errors (LSQ); with none,
    it learns from clipped inputs only (PACT).
    """

    low: int
    high: int
    slack: float = 0.5


def _integers(x: Tensor, inverse: Tensor, grid: Grid, out: Tensor) -> Tensor:
    return torch.mul(x.float(), inverse, out=out).round_().clamp_(grid.low, grid.high)


@torch.no_grad()
def grid_integers(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """clip(round_half_even(x * (1 / s)), low, high) as float32; the kernels multiply by the same inverse.

    Shape: x (*) -> (*); scale ().
    """
    integers = torch.empty_like(x, dtype=torch.float32)
    for values, out in cache_blocks(x, integers):
        _integers(values, 1 / scale, grid, out)
    return integers


class _RoundToGrid(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, scale, _offset, grid, dtype = given
        y = torch.empty_like(x, dtype=dtype)
        inverse = 1 / scale
        for values, out in cache_blocks(x, y):
            if dtype == torch.float32:
                _integers(values, inverse, grid, out).mul_(scale)
            else:
                wide = torch.empty_like(values, dtype=torch.float32)
                out.copy_(_integers(values, inverse, grid, wide).mul_(scale))
        ctx.save_for_backward(x, scale, y)
        ctx.grid = grid
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, y = ctx.saved_tensors
        grid: Grid = ctx.grid
        step, inverse = float(scale), 1 / scale
        bounds = (grid.low - grid.slack) * step, (grid.high + grid.slack) * step
        grad_x = torch.empty_like(x)
        grad_scale = torch.zeros_like(scale) if ctx.needs_input_grad[1] else None
        grad_offset = torch.zeros_like(scale) if ctx.needs_input_grad[2] else None
        for upstream, values, rounded, out in cache_blocks(grads[0], x, y, grad_x):
            g, v = upstream.float(), values.float()
            inside = out if out.dtype == torch.float32 else torch.empty_like(v)
            # The gradient inside an open interval, else 0, in one pass.
            torch.ops.aten.hardtanh_backward.grad_input(g, v, *bounds, grad_input=inside)
            if inside is not out:
                out.copy_(inside)
            if grad_scale is not None:
                # y = s * q gives g * q where clipped, g * (q - x / s) inside; without slack g * 0 inside.
                if rounded.dtype != torch.float32:  # in 16 bits, y is off by as much as rounding to the grid
                    rounded = _integers(v, inverse, grid, torch.empty_like(v)).mul_(scale)  # noqa: PLW2901
                grad_scale += flat_dot(g, rounded) - flat_dot(inside, v if grid.slack else rounded)
            if grad_offset is not None:
                grad_offset += g.sum() - inside.sum()
        if grad_scale is not None:
            grad_scale *= inverse
        if grad_offset is not None:
            grad_offset *= scale
        return grad_x, grad_scale, grad_offset, None, None


def product_type(x: Tensor) -> torch.dtype:
    """The type in which a product of x would be computed: that of autocast where it is on, else float32."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def round_to_grid(x: Tensor, scale: Tensor, grid: Grid, offset: Tensor | None = None) -> Tensor:
    """Y = s * q with the integers q of `grid_integers`, in the `product_type`.

    With v = x / s: x gets g where low - slack < v < high + slack, else 0. s gets the sum of g * q over the
    clipped inputs and, if there is slack, of g * (q - v) over the others. `offset`, by which the whole grid
    was moved up, in steps, gets the sum of g * s over the clipped inputs.

    Shape: x (*) -> (*); scale and offset ().
    Source: Esser et al. 2020, arXiv:1902.08153; without slack: Choi et al. 2018, arXiv:1805.06085; offset:
        Bhalgat et al. 2020, arXiv:2004.09576.
    """
    y: Tensor = _RoundToGrid.apply(x, scale, offset, grid, product_type(x))
    return y
