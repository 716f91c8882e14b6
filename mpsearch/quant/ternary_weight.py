"""Weights of -1, 0 and +1 times a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.ste import straight_through


class TwnQuantizer(WeightQuantizer):
    """Zero the small weights of each output channel; the others keep their sign and share a magnitude.

    y = alpha_c * sign(w) where |w| > delta_c, else 0; delta_c = 0.7 * mean |w_c|,
    alpha_c = mean of the |w_c| above delta_c. The gradient reaches w unchanged.

    Shape: weight (N, *) -> (N, *).
    Source: Li et al. 2016, arXiv:1605.04711 (there per layer; here per channel, as the kernels scale).
    """

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        dims = channel_dims(weight)
        magnitude = weight.abs()
        kept = magnitude > 0.7 * magnitude.mean(dims, keepdim=True)
        count = kept.sum(dims, keepdim=True).clamp_min_(1)
        scale = (magnitude * kept).sum(dims, keepdim=True).div_(count).clamp_min_(SMALLEST_SCALE)
        return weight.sign().mul_(kept), scale

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return straight_through(weight, integers.mul_(scale))


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
