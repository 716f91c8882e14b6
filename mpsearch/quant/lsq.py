"""Weights on a uniform signed grid with a learnt step per output channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError
from mpsearch.quant.chosen_slopes import check_channels, chosen_slopes
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims


class LsqQuantizer(WeightQuantizer):
    """Round to a signed `bits`-bit grid; learn one step per output channel.

    y = s * q, q = clip(round(w / s), -2^(bits-1), 2^(bits-1) - 1). w gets g where w / s lies in that range,
    else 0; s gets, divided by sqrt(n * q_max), the sum of g * (q - w / s) there and of g * q elsewhere, n the
    weights of a channel. The step starts where the squared error of the given weights is least. The parameter
    is log s: an optimizer that normalizes gradients (Adam) then moves s by a fraction of itself, and s cannot
    become negative.

    Shape: weight (N, *) -> (N, *); log_step (N, 1, ..., 1).
    Units: step is in the units of the weights; `bits` counts the sign bit.
    Raises: ConfigError if bits is outside 2..8; ShapeError if the weight has other channels.
    Source: Esser et al. 2020, arXiv:1902.08153; log domain: Jain et al. 2019, arXiv:1903.08066.
    """

    def __init__(self, weight: Tensor, *, bits: int) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise ConfigError(f"`bits` must be in 2..8; got {bits}. Take a binary quantizer for 1 bit.")
        self.q_min, self.q_max = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        step = least_error_step(weight.detach().float(), self.q_min, self.q_max)
        self.log_step = nn.Parameter(step.log())

    @property
    def step(self) -> Tensor:
        return self.log_step.exp()

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        check_channels(weight, self.log_step)
        step = self.step
        return (weight / step).clamp_(self.q_min, self.q_max).round_(), step

    def forward(self, weight: Tensor) -> Tensor:
        check_channels(weight, self.log_step)
        step = self.step
        with torch.no_grad():
            v = weight / step
            clipped = v.clamp(self.q_min, self.q_max)
            inside = (v == clipped).to(v.dtype)
            integers = clipped.round_()
            factor = (weight[0].numel() * self.q_max) ** -0.5
            by_step = v.mul_(inside).sub_(integers).mul_(-factor)
            value = integers.mul_(step)
        return chosen_slopes(weight, step, value, by_weight=inside, by_scale=by_step)


@torch.no_grad()
def least_error_step(weight: Tensor, q_min: int, q_max: int, *, candidates: int = 32) -> Tensor:
    """The step per channel, of a geometric row up to max |w| / q_max, with the least squared error.

    Shape: weight (N, *) -> (N, 1, ..., 1). A channel of zeros gets the greatest step of the others.
    """
    dims = channel_dims(weight)
    greatest = weight.abs().amax(dims, keepdim=True) / q_max
    whole = greatest.max()
    floor = torch.full_like(whole, 1.0 / q_max) if float(whole) < SMALLEST_SCALE else whole
    greatest = torch.where(greatest < SMALLEST_SCALE, floor, greatest)
    best, least_error = greatest, torch.full_like(greatest, torch.inf)
    for fraction in torch.logspace(-1.0, 0.0, candidates).tolist():
        step = greatest * fraction
        error = (weight / step).round_().clamp_(q_min, q_max).mul_(step).sub_(weight).square_()
        total = error.sum(dims, keepdim=True)
        best = torch.where(total < least_error, step, best)
        least_error = torch.minimum(total, least_error)
    return best.clamp_min(SMALLEST_SCALE)
