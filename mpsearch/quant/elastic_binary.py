"""Binary weights times a learnt scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.bwn import mean_magnitude
from mpsearch.quant.chosen_slopes import LearntScaleQuantizer, chosen_slopes
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sloped_sign import SlopedSign
from mpsearch.quant.ste import binarize


class ElasticBinaryQuantizer(LearntScaleQuantizer, SlopedSign):
    """Sign of each weight times a learnt scale per output channel.

    y = alpha_c * sign(w), sign(0) = +1; alpha_c starts as mean |w_c|. The gradient reaches w unchanged, or
    times the slope named `gradient` at w / alpha_c; alpha_c gets sum(g * sign(w)) / sqrt(n), n the weights of
    a channel.

    The paper's code passes gradients only where |w| <= alpha_c, which stops 42% of normally distributed
    weights from the first step on (`clipped` does so here); its text does not, nor does this by itself.

    A channel of zeros starts, and all but stays, at a scale of nothing: sign(0) = +1, so any other would put
    a sum of its inputs where the 32-bit layer has 0.

    Shape: weight (N, *) -> (N, *); log_scale (N, 1, ..., 1).
    Raises: ShapeError if the weight has other channels.
    Source: Liu et al. 2025 (ParetoQ), arXiv:2502.02631.
    """

    def __init__(self, weight: Tensor, *, gradient: SignGradient = "identity") -> None:
        super().__init__(mean_magnitude(weight))
        self.gradient = gradient

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self._check(weight)
        return binarize(weight), self.scale

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        by_scale = integers * weight[0].numel() ** -0.5
        return chosen_slopes(self.sloped(weight, scale), self.scale, integers * scale, by_scale=by_scale)
