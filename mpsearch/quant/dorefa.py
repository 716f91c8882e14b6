"""Weights on a uniform grid after a tanh."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.quant.chosen_slopes import chosen_slopes
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer


class DorefaQuantizer(WeightQuantizer):
    """Limit the range of the weights by a tanh, then round to a signed `bits`-bit grid of the whole layer.

    y = m * q / q_max, q = round(q_max * tanh(w) / T), with T = max |tanh(w)| and m = max |w| over the whole
    tensor and q_max = 2^(bits-1) - 1. w gets g * (m / T) * (1 - tanh(w)^2): the rounding counts as the
    identity, T and m as constants.

    Two things are not the paper's. Its 2^bits levels are odd multiples of a half step, without a 0, which
    kernels of `bits`-bit integers cannot hold. And its weights reach to 1 instead of m, which a BatchNorm
    takes up, but a layer without one would not.

    Shape: weight (N, *) -> (N, *).
    Units: `bits` counts the sign bit.
    Raises: ConfigError if bits is outside 2..8.
    Source: Zhou et al. 2016, arXiv:1606.06160.
    """

    def __init__(self, *, bits: int) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise ConfigError(f"`bits` must be in 2..8; got {bits}. Take a binary quantizer for 1 bit.")
        self.q_max = 2 ** (bits - 1) - 1

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        limited = weight.tanh()
        integers = limited.mul_(self.q_max / _greatest(limited)).round_().clamp_(-self.q_max, self.q_max)
        return integers, (_greatest(weight) / self.q_max).expand(len(weight), *[1] * (weight.ndim - 1))

    @torch.no_grad()
    def latent(self, integers: Tensor, _scale: Tensor, weight: Tensor) -> Tensor:
        limited = integers * (_greatest(weight.tanh()) / self.q_max)
        greatest = _greatest(weight)
        return limited.atanh_().clamp_(-greatest, greatest)  # a tanh that rounds to 1 has no inverse

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        with torch.no_grad():
            limited = weight.tanh()
            slope = _greatest(weight) / _greatest(limited)
            by_weight = limited.square_().neg_().add_(1).mul_(slope)
        return chosen_slopes(weight, None, integers.mul_(scale), by_weight=by_weight)


def _greatest(tensor: Tensor) -> Tensor:
    return tensor.abs().max().clamp_min_(SMALLEST_SCALE)
