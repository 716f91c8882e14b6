"""Binary weights and inputs with one learnt scale per output channel."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.bwn import mean_magnitude
from mpsearch.quant.chosen_slopes import LearntScaleQuantizer, chosen_slopes
from mpsearch.quant.ste import binarize


class XnorPlusPlusQuantizer(LearntScaleQuantizer):
    """Sign of each weight times a learnt factor of the output channel.

    y = gamma_c * sign(w), sign(0) = +1; gamma_c starts as mean |w_c|. By the chain rule, with the clipped
    slope of the sign: w gets g * gamma_c where |w| <= 1, else 0, and gamma_c gets sum(g * sign(w)) / sqrt(n),
    n the weights of a channel.

    In the paper gamma is the only scale of a binary product. Here a binary input also has one, a number
    per layer; kernels multiply the two before they run, so that one factor per output channel is left.

    A channel of zeros stays silent, as `ElasticBinaryQuantizer` says.

    Shape: weight (N, *) -> (N, *); log_scale (N, 1, ..., 1).
    Raises: ShapeError if the weight has other channels.
    Source: Bulat and Tzimiropoulos 2019, arXiv:1909.13863 (its first case, a factor per output channel).
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(mean_magnitude(weight))

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self._check(weight)
        return binarize(weight), self.scale

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return chosen_slopes(
            weight,
            self.scale,
            integers * scale,
            by_weight=(weight.detach().abs() <= 1) * scale,
            by_scale=integers * weight[0].numel() ** -0.5,
        )
