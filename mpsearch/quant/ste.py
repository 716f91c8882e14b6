"""Straight-through estimators: exact values forward, chosen gradients backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor
from torch.autograd import Function

from mpsearch.errors import ConfigError
from mpsearch.quant.quantizer_choice import SignGradient


def _identity(u: Tensor) -> Tensor:
    return torch.ones_like(u)


def _clipped(u: Tensor) -> Tensor:
    return (u.abs() <= 1).to(u.dtype)


def _approx_sign(u: Tensor) -> Tensor:
    return u.abs().mul_(-2).add_(2).clamp_min_(0)


# d sign(u) / du as the backward pass sees it.
SIGN_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": _identity,
    "clipped": _clipped,
    "approx_sign": _approx_sign,
}


def sign_slope(gradient: SignGradient) -> Callable[[Tensor], Tensor]:
    """The slope of that name.

    identity: 1. clipped: 1 where |u| <= 1, else 0. approx_sign: max(0, 2 - 2|u|).

    Raises: ConfigError if there is none.
    Source: identity, clipped: Hubara et al. 2016, arXiv:1602.02830; approx_sign: Liu et al. 2018,
        arXiv:1808.00278.
    """
    if gradient not in SIGN_SLOPES:
        raise ConfigError(f"`gradient` must be one of {', '.join(get_args(SignGradient))}; got {gradient!r}.")
    return SIGN_SLOPES[gradient]


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


def round_ste(x: Tensor) -> Tensor:
    """Round half to even; gradient 1."""
    return straight_through(x, x.detach().round())


def scale_grad(x: Tensor, factor: float) -> Tensor:
    """`x` forward; its gradient times `factor` backward."""
    result: Tensor = _ScaleGrad.apply(x, factor)
    return result
