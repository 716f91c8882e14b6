"""Weights of -1, 0 and +1 on a stretched grid with a learnt scale."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.chosen_slopes import LearntScaleQuantizer, chosen_slopes
from mpsearch.quant.lsq import least_error_step

LEVELS = 1.5  # half the number of levels: each then covers a third of the range -alpha..alpha
CLIP = 0.99  # below 1, so that the clipped value still rounds to the last level


class SeqQuantizer(LearntScaleQuantizer):
    """ParetoQ's stretched elastic quantizer: three levels that share -alpha_c..alpha_c evenly.

    y = alpha_c * q / 1.5, q = round(1.5 * clip(w / alpha_c, -0.99, 0.99)): the levels are -2/3, 0 and 2/3 of
    alpha_c. w gets g where |w| <= 0.99 * alpha_c, else 0; alpha_c gets, divided by sqrt(n), the sum of
    g * (q / 1.5 - w / alpha_c) there and of g * q / 1.5 elsewhere, n the weights of a channel.

    alpha_c starts where the squared error of the given weights is least; the paper starts at max |w_c|, with
    which most weights would be 0 in a short training.

    Shape: weight (N, *) -> (N, *); log_scale (N, 1, ..., 1), the logarithm of alpha_c.
    Raises: ShapeError if the weight has other channels.
    Source: Liu et al. 2025 (ParetoQ), arXiv:2502.02631.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(LEVELS * least_error_step(weight.detach().float(), -1, 1))

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        self._check(weight)
        scale = self.scale
        integers = (weight / scale).clamp_(-CLIP, CLIP).mul_(LEVELS).round_()
        return integers, scale / LEVELS

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        alpha = self.scale
        with torch.no_grad():
            v = weight / alpha
            inside = (v.abs() <= CLIP).to(v.dtype)
            by_scale = (integers / LEVELS).sub_(v.mul_(inside)).mul_(weight[0].numel() ** -0.5)
        return chosen_slopes(weight, alpha, integers.mul_(scale), by_weight=inside, by_scale=by_scale)
