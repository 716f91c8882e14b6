"""Binary weights without a scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sloped_sign import SlopedSign
from mpsearch.quant.ste import binarize, straight_through


class BinaryConnectQuantizer(SlopedSign):
    """Sign of each weight, and nothing else: the layers around must take up its magnitude.

    y = sign(w), sign(0) = +1. The gradient reaches w unchanged, or times the slope named `gradient` at w,
    which is kept in [-1, 1].

    The paper clips w after each update. Here the next forward pass with gradients clips it, in place, which
    is the same: nothing but the sign, which clipping leaves alone, is read in between. Weights that are also
    another quantizer's (`share_weights`) are not clipped: there the magnitude counts.

    Shape: weight (N, *) -> (N, *).
    Source: Courbariaux et al. 2015, arXiv:1511.00363 (deterministic signs).
    """

    def __init__(self, gradient: SignGradient = "identity") -> None:
        super().__init__()
        self.gradient = gradient
        self.clips = True

    def share_weights(self) -> None:
        self.clips = False

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return binarize(weight), weight.new_ones(len(weight), *[1] * (weight.ndim - 1))

    def forward(self, weight: Tensor) -> Tensor:
        if self.clips and torch.is_grad_enabled():
            weight.data.clamp_(-1, 1)  # `data`: a layer tied to it may have kept it for its way back
        integers, scale = self.quantize(weight)
        return straight_through(self.sloped(weight, scale), integers)
