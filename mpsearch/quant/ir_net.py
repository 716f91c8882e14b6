"""Binary weights after centring, with a scale that is a power of two."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.chosen_slopes import chosen_slopes
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.ste import binarize

FEWEST_TO_STANDARDIZE = 3  # centring and dividing take two of a channel's degrees of freedom


class IrNetQuantizer(WeightQuantizer):
    """Sign of the centred weights of each output channel, times a power of two.

    y = 2^e_c * sign(v), v = w - mean(w_c), e_c = round(log2(mean |v_c|)), sign(0) = +1. The slope of sign(u),
    u = v / std(v_c), is `ede` of `sign_slope`: nearly the identity's at first, a narrow peak in the end. The
    gradient goes on to w through u, none through e_c. Of one or two weights u would be nothing but signs,
    whose gradient is 0: there v = w, and std, the root of the mean of v^2, counts as a constant.

    The paper takes e_c of u: a network without BatchNorm behind the layer would lose the magnitude of its
    weights. A BatchNorm undoes the difference.

    Shape: weight (N, *) -> (N, *).
    Source: Qin et al. 2020 (IR-Net), arXiv:1909.10788.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = sign_slope("ede")
        self.progress = 0.0

    @property
    def is_annealed(self) -> bool:
        return True

    def anneal(self, t: float) -> None:
        self.progress = t

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        centred = _centred(weight)
        magnitude = centred.abs().mean(channel_dims(weight), keepdim=True).clamp_min_(SMALLEST_SCALE)
        return binarize(centred), torch.exp2(magnitude.log2_().round_())

    def latent(self, integers: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
        return integers * scale + weight - _centred(weight)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        centred = _centred(weight)
        variance = centred.square().mean(channel_dims(weight), keepdim=True)
        if not _is_standardized(weight):
            variance = variance.detach()
        u = centred / variance.clamp_min(SMALLEST_SCALE**2).sqrt()
        slope = self.slope(u.detach().clone(), self.progress).mul_(scale)
        return chosen_slopes(u, None, integers.mul_(scale), by_weight=slope)


def _is_standardized(weight: Tensor) -> bool:
    return weight[0].numel() >= FEWEST_TO_STANDARDIZE


def _centred(weight: Tensor) -> Tensor:
    return weight - weight.mean(channel_dims(weight), keepdim=True) if _is_standardized(weight) else weight
