"""Binary weights times a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.ste import binarize, straight_through


class BwnQuantizer(WeightQuantizer):
    """Sign of each weight times the mean magnitude of its output channel.

    y = alpha_c * sign(w), alpha_c = mean |w_c|, sign(0) = +1. The gradient reaches w unchanged; with
    `learn_scale` also through alpha_c, which adds sign(w) * mean_c(g * sign(w)).

    Shape: weight (N, *) -> (N, *).
    Source: Rastegari et al. 2016, arXiv:1603.05279.
    """

    def __init__(self, *, learn_scale: bool = False) -> None:
        super().__init__()
        self.learn_scale = learn_scale

    def _scale(self, weight: Tensor) -> Tensor:
        return weight.abs().mean(channel_dims(weight), keepdim=True).clamp_min(SMALLEST_SCALE)

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return binarize(weight), self._scale(weight)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        if self.learn_scale:
            scale = self._scale(weight)
        return straight_through(weight, integers * scale)
