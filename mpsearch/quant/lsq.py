"""Weights on a uniform signed grid with a learnt step per output channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.ste import round_ste, scale_grad


class LsqQuantizer(WeightQuantizer):
    """Round to a signed `bits`-bit grid; learn one step per output channel.

    y = s * clip(round(w / s), -2^(bits-1), 2^(bits-1) - 1); rounding passes gradients straight through,
    and s gets them scaled by 1 / sqrt(n * q_max), n the weights of a channel. The step starts where the
    squared error of the given weights is least. The parameter is log s: an optimizer that normalizes
    gradients (Adam) then moves s by a fraction of itself, and s cannot become negative.

    Shape: weight (N, *) -> (N, *); log_step (N, 1, ..., 1).
    Units: step is in the units of the weights; `bits` counts the sign bit.
    Raises: ConfigError if bits is outside 2..8; ShapeError if the weight has other channels.
    Source: Esser et al. 2020, arXiv:1902.08153; log domain: Jain et al. 2019, arXiv:1903.08066.
    """

    def __init__(self, weight: Tensor, *, bits: int) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise ConfigError(f"`bits` must be in 2..8; got {bits}. Use BwnQuantizer for 1 bit.")
        self.q_min, self.q_max = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        step = least_error_step(weight.detach().float(), self.q_min, self.q_max)
        self.log_step = nn.Parameter(step.log())

    @property
    def step(self) -> Tensor:
        return self.log_step.exp()

    def _check(self, weight: Tensor) -> None:
        if len(weight) != len(self.log_step) or weight.ndim != self.log_step.ndim:
            raise ShapeError(
                f"`weight` must have {len(self.log_step)} output channels and {self.log_step.ndim} "
                f"dimensions; got {tuple(weight.shape)}."
            )

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self._check(weight)
        step = self.step
        return (weight / step).clamp_(self.q_min, self.q_max).round_(), step

    def forward(self, weight: Tensor) -> Tensor:
        self._check(weight)
        step = scale_grad(self.step, (weight[0].numel() * self.q_max) ** -0.5)
        return step * round_ste((weight / step).clamp(self.q_min, self.q_max))


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
