"""What the backward pass takes for the slope of the sign function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.quant.quantizer_choice import SignGradient

# (u, share t of the training that is done) -> d sign(u) / du; may overwrite u.
SignSlope = Callable[[Tensor, float], Tensor]


def _identity(u: Tensor, _t: float) -> Tensor:
    return u.fill_(1)


def _clipped(u: Tensor, _t: float) -> Tensor:
    return torch.le(u.abs_(), 1, out=u)


def _approx_sign(u: Tensor, _t: float) -> Tensor:
    return u.abs_().mul_(-2).add_(2).clamp_min_(0)


def _sech_squared(u: Tensor) -> Tensor:
    return u.tanh_().square_().neg_().add_(1)


def annealed_beta(t: float) -> float:
    """1 at the start, 10 at the end, by equal factors."""
    return math.exp(t * math.log(10))


def _tanh(u: Tensor, t: float) -> Tensor:
    beta = annealed_beta(t)
    return _sech_squared(u.mul_(beta)).mul_(beta)


def _swish(u: Tensor, t: float) -> Tensor:
    # 1 + cosh(b) = 2 cosh^2(b / 2), and sech^2 = 1 - tanh^2: nothing overflows.
    beta = annealed_beta(t)
    b = u.mul_(beta)
    half = (b / 2).tanh_()
    return b.mul_(half).neg_().add_(2).mul_(half.square_().neg_().add_(1)).mul_(beta / 2)


def _ede(u: Tensor, t: float) -> Tensor:
    sharpness = 0.1 * math.exp(t * math.log(100))
    return _sech_squared(u.mul_(sharpness)).mul_(max(1.0, sharpness))


SIGN_SLOPES: dict[str, SignSlope] = {
    "identity": _identity,
    "clipped": _clipped,
    "approx_sign": _approx_sign,
    "tanh": _tanh,
    "swish": _swish,
    "ede": _ede,
}
# These change over the training.
ANNEALED = ("tanh", "swish", "ede")


def sign_slope(gradient: SignGradient) -> SignSlope:
    """The slope of that name, as a function of u and of t, the share of the training that is done.

    identity: 1. clipped: 1 where |u| <= 1, else 0. approx_sign: max(0, 2 - 2|u|).
    tanh: beta * sech^2(beta * u), the derivative of tanh(beta * u); beta = 10^t.
    swish: beta * (2 - b * tanh(b / 2)) / (1 + cosh(b)), b = beta * u, the derivative of
    2 sigmoid(b) * (1 + b * (1 - sigmoid(b))) - 1; beta = 10^t (learnt or fixed in the paper).
    ede: k * T * sech^2(T * u), T = 0.1 * 100^t from 0.1 to 10, k = max(1 / T, 1): wide at first, so that all
    inputs learn, and sharp in the end.

    Raises: ConfigError if there is none.
    Source: identity: Bengio et al. 2013, arXiv:1308.3432; clipped: Courbariaux et al. 2016, arXiv:1602.02830;
        approx_sign: Liu et al. 2018, arXiv:1808.00278; swish: Darabi et al. 2018, arXiv:1812.11800;
        ede: Qin et al. 2019, arXiv:1909.10788.
    """
    if gradient not in SIGN_SLOPES:
        raise ConfigError(f"`gradient` must be one of {', '.join(get_args(SignGradient))}; got {gradient!r}.")
    return SIGN_SLOPES[gradient]
