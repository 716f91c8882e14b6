"""Weights of -1, 0 and +1 in units of the layer's mean magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer
from mpsearch.quant.ste import straight_through


class AbsmeanQuantizer(WeightQuantizer):
    """Round to -1, 0, +1 in units of the layer's mean magnitude.

    y = gamma * clip(round(w / gamma), -1, 1), gamma = mean |w| over the whole tensor. The gradient
    reaches w unchanged.

    Shape: weight (N, *) -> (N, *).
    Source: Ma et al. 2024 (BitNet b1.58), arXiv:2402.17764.
    """

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        gamma = weight.abs().mean().clamp_min_(SMALLEST_SCALE)
        return (weight / gamma).round_().clamp_(-1, 1), gamma.expand(len(weight), *[1] * (weight.ndim - 1))

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return straight_through(weight, integers.mul_(scale))
