"""Binary weights times the mean magnitude of their channel."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.quantizer import SMALLEST_SCALE, channel_dims
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sloped_sign import SlopedSign
from mpsearch.quant.ste import binarize, straight_through


class BwnQuantizer(SlopedSign):
    """Sign of each weight times the mean magnitude of its output channel.

    y = alpha_c * sign(w), alpha_c = mean |w_c|, sign(0) = +1: the alpha of least squared error. The gradient
    reaches w unchanged, or times the slope named `gradient` at w / alpha_c; with `through_scale` also by way
    of alpha_c, which adds sign(w) * mean_c(g * sign(w)) (the paper's 1 / n; its other term is alpha_c * g
    where |w| <= 1, not g).

    Shape: weight (N, *) -> (N, *).
    Source: Rastegari et al. 2016, arXiv:1603.05279.
    """

    def __init__(self, *, through_scale: bool = False, gradient: SignGradient = "identity") -> None:
        super().__init__()
        self.through_scale = through_scale
        self.gradient = gradient

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return binarize(weight), mean_magnitude(weight)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        if self.through_scale:
            scale = mean_magnitude(weight)
        return straight_through(self.sloped(weight, scale), integers * scale)


def mean_magnitude(weight: Tensor) -> Tensor:
    """Per output channel. Shape: weight (N, *) -> (N, 1, ..., 1)."""
    return weight.abs().mean(channel_dims(weight), keepdim=True).clamp_min(SMALLEST_SCALE)
