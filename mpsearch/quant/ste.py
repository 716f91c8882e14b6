"""Straight-through estimators: exact values forward, chosen gradients backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


@torch.no_grad()
def binarize(x: Tensor, threshold: Tensor | float = 0.0) -> Tensor:
    """+1 where x >= threshold, else -1; NaN gives -1. Without a gradient.

    Shape: x (*) -> (*); threshold broadcasts to x.
    """
    # A comparison that writes floats takes a tenth of the time of torch.where on the CPU.
    return torch.ge(x, threshold, out=torch.empty_like(x)).mul_(2).sub_(1)


class _StraightThrough(Function):
    @staticmethod
    def forward(_ctx: Any, _x: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0]


class _ScaleGrad(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """`value` to the bit forward; the gradient goes to `x` unchanged, and to `value` if it takes one.

    The usual `x + (value - x).detach()` rounds, and what it returns is not what a kernel computes.

    Shape: x, value and result alike.
    """
    result: Tensor = _StraightThrough.apply(x, value)
    return result


def scale_grad(x: Tensor, factor: float) -> Tensor:
    """`x` forward; its gradient times `factor` backward."""
    result: Tensor = _ScaleGrad.apply(x, factor)
    return result
