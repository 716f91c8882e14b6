"""Weights of -1, 0 and +1 by a threshold on their magnitude."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.chosen_slopes import LearntScaleQuantizer, chosen_slopes
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.ste import straight_through

TWN_THRESHOLD = 0.7  # of the mean magnitude; near the optimum for uniform and for normal weights


class TwnQuantizer(WeightQuantizer):
    """Zero the small weights of each output channel; the others keep their sign and share a magnitude.

    y = alpha_c * sign(w) where |w| > delta_c, else 0; delta_c = 0.7 * mean |w_c|,
    alpha_c = mean of the |w_c| above delta_c. The gradient reaches w unchanged.

    Shape: weight (N, *) -> (N, *).
    Source: Li et al. 2016, arXiv:1605.04711 (there per layer; here per channel, as the kernels scale).
    """

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return ternarize(weight, TWN_THRESHOLD)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return straight_through(weight, integers.mul_(scale))


class LearntTwnQuantizer(LearntScaleQuantizer):
    """The threshold of TWN, and a learnt scale per output channel that starts as TWN's.

    y = alpha_c * sign(w) where |w| > 0.7 * mean |w_c|, else 0. The gradient reaches w unchanged; alpha_c
    gets sum(g * y / alpha_c) / sqrt(n), n the weights of a channel. Channels of zeros: see `first_scales`.

    Shape: weight (N, *) -> (N, *); log_scale (N, 1, ..., 1).
    Raises: ShapeError if the weight has other channels.
    Source: threshold: Li et al. 2016, arXiv:1605.04711; learnt scale: Esser et al. 2020, arXiv:1902.08153.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(first_scales(ternarize(weight, TWN_THRESHOLD)[1], weight))

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self._check(weight)
        return ternarize(weight, TWN_THRESHOLD)[0], self.scale

    def latent(self, integers: Tensor, _scale: Tensor, weight: Tensor) -> Tensor:
        return latent_ternary(integers, weight)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return chosen_slopes(
            weight, self.scale, integers * scale, by_scale=integers * weight[0].numel() ** -0.5
        )


@torch.no_grad()
def ternarize(weight: Tensor, threshold: Tensor | float) -> tuple[Tensor, Tensor]:
    """sign(w) where |w| > threshold * mean |w_c|, else 0; and the mean magnitude of those weights.

    Shape: weight (N, *) -> (N, *) and (N, 1, ..., 1); threshold () or (N, 1, ..., 1).
    """
    dims = channel_dims(weight)
    magnitude = weight.abs()
    kept = magnitude > threshold * magnitude.mean(dims, keepdim=True)
    count = kept.sum(dims, keepdim=True).clamp_min_(1)
    scale = (magnitude * kept).sum(dims, keepdim=True).div_(count).clamp_min_(SMALLEST_SCALE)
    return weight.sign().mul_(kept), scale


@torch.no_grad()
def first_scales(scale: Tensor, weight: Tensor) -> Tensor:
    """Where learnt scales start: a channel of zeros takes the mean of the others, if there are any.

    Its own would be `SMALLEST_SCALE`, whose logarithm no training moves far enough: once its weights leave 0
    the channel would still be silent. Until then its output is 0 with any scale.

    Shape: scale (N, 1, ..., 1), weight (N, *) -> (N, 1, ..., 1).
    """
    is_silent = ~weight.flatten(1).any(1).view_as(scale)
    heard = scale[~is_silent]
    return torch.where(is_silent, heard.mean(), scale) if len(heard) else scale


def latent_ternary(integers: Tensor, weight: Tensor) -> Tensor:
    """Weights beyond the threshold of TWN where the integer is not 0: a learnt scale may lie below it.

    Shape: integers and weight (N, *) -> (N, *).
    """
    return integers * ternarize(weight, TWN_THRESHOLD)[1]
