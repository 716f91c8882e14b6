"""Weights on a uniform grid that reaches just as far as they do."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.ste import straight_through


class MinMaxQuantizer(WeightQuantizer):
    """Round to a signed `bits`-bit grid that ends at the greatest magnitude of each output channel.

    y = s_c * round(w / s_c), s_c = max |w_c| / (2^(bits-1) - 1). Nothing is clipped and nothing is learnt;
    the gradient reaches w unchanged.

    Shape: weight (N, *) -> (N, *).
    Units: `bits` counts the sign bit.
    Raises: ConfigError if bits is outside 2..8.
    Source: Jacob et al. 2018, arXiv:1712.05877 (here symmetric and per output channel).
    """

    def __init__(self, *, bits: int) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise ConfigError(f"`bits` must be in 2..8; got {bits}. Take a binary quantizer for 1 bit.")
        self.q_max = 2 ** (bits - 1) - 1

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        greatest = weight.abs().amax(channel_dims(weight), keepdim=True)
        scale = greatest.div_(self.q_max).clamp_min_(SMALLEST_SCALE)
        return (weight / scale).round_().clamp_(-self.q_max, self.q_max), scale

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return straight_through(weight, integers.mul_(scale))
