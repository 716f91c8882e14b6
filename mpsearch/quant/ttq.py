"""Ternary weights whose two signs have a learnt scale each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.quant.chosen_slopes import check_channels
from mpsearch.quant.quantizer import SMALLEST_SCALE, WeightQuantizer, channel_dims
from mpsearch.quant.twn import TWN_THRESHOLD, first_scales, latent_ternary, ternarize


class _TwoScales(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        signs, _ = ternarize(weight, TWN_THRESHOLD)
        ctx.save_for_backward(signs, positive, negative)
        return signs.clamp(min=0).mul_(positive).add_(signs.clamp(max=0).mul_(negative))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        signs, positive, negative = ctx.saved_tensors
        above, below = signs.clamp(min=0), signs.clamp(max=0)
        dims = channel_dims(signs)
        slope = above * positive - below * negative + (signs == 0)
        return grad * slope, (grad * above).sum(dims, keepdim=True), (grad * below).sum(dims, keepdim=True)


class TtqQuantizer(WeightQuantizer):
    """Zero the small weights of each output channel; the others become +W_p or -W_n, both learnt.

    y = W_p where w > delta_c, -W_n where w < -delta_c, else 0; delta_c = 0.7 * mean |w_c|. With the gradient
    g of y, w gets W_p * g, W_n * g and 1 * g there; W_p gets the sum of g over the first, W_n that of -g over
    the second. W_p and W_n start at the mean magnitude of their weights (in channels of zeros: see
    `first_scales`). The parameters are their logarithms (see LsqQuantizer).

    Shape: weight (N, *) -> (N, *); log_positive, log_negative (N, 1, ..., 1).
    Raises: ShapeError if the weight has other channels.
    Source: Zhu et al. 2017, arXiv:1612.01064 (there two scales per layer and delta = 0.05 * max |w|; here per
        channel, as the kernels scale, and with the threshold of Li et al. 2016, arXiv:1605.04711).
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        given = weight.detach().float()
        signs, magnitude, dims = ternarize(given, TWN_THRESHOLD)[0], given.abs(), channel_dims(given)

        def log_mean(kept: Tensor) -> Tensor:
            # A channel without weights of one sign: the mean of all that it keeps, else of all that it has.
            some = torch.where(kept.any(1, keepdim=True), kept, signs.flatten(1) != 0)
            some = torch.where(some.any(1, keepdim=True), some, torch.ones_like(some))
            mean = ((magnitude.flatten(1) * some).sum(1) / some.sum(1)).view(-1, *[1] * len(dims))
            return first_scales(mean, given).clamp_min(SMALLEST_SCALE).log()

        self.log_positive = nn.Parameter(log_mean(signs.flatten(1) > 0))
        self.log_negative = nn.Parameter(log_mean(signs.flatten(1) < 0))

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Integers and W_p; see `negative_scale`."""
        check_channels(weight, self.log_positive)
        return ternarize(weight, TWN_THRESHOLD)[0], self.log_positive.exp()

    @torch.no_grad()
    def negative_scale(self) -> Tensor:
        """W_n."""
        return self.log_negative.exp()

    def latent(self, integers: Tensor, _scale: Tensor, weight: Tensor) -> Tensor:
        return latent_ternary(integers, weight)

    def forward(self, weight: Tensor) -> Tensor:
        check_channels(weight, self.log_positive)
        result: Tensor = _TwoScales.apply(weight, self.log_positive.exp(), self.log_negative.exp())
        return result
