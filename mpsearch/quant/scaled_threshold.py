"""Weights of -1, 0 and +1 by a threshold that is searched for each layer."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.quant.chosen_slopes import chosen_slopes
from mpsearch.quant.quantizer import WeightQuantizer, channel_dims
from mpsearch.quant.twn import ternarize

# Below 1, so that a channel whose weights all have one magnitude keeps them.
THRESHOLDS = tuple(step / 20 for step in range(1, 20))


class ScaledThresholdQuantizer(WeightQuantizer):
    """As TWN, with the layer's own share of the mean magnitude as the threshold.

    y = alpha_c * sign(w) where |w| > a * mean |w_c|, else 0; alpha_c = mean of those |w_c|. `a` is the
    one of `THRESHOLDS` with the least squared error over the layer's first weights; it then stays. The
    gradient reaches w where |w| <= 1, else it is 0.

    Shape: weight (N, *) -> (N, *); threshold ().
    Source: Li et al. 2016, arXiv:1605.04711, with a searched constant in the place of its 0.7.
    """

    threshold: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", least_error_threshold(weight.detach().float()))

    @torch.no_grad()
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return ternarize(weight, self.threshold)

    def forward(self, weight: Tensor) -> Tensor:
        integers, scale = self.quantize(weight)
        return chosen_slopes(
            weight, None, integers.mul_(scale), by_weight=(weight.detach().abs() <= 1).to(weight.dtype)
        )


@torch.no_grad()
def least_error_threshold(weight: Tensor) -> Tensor:
    """Shape: weight (N, *) -> ()."""

    def kept_energy(threshold: float) -> float:
        # With alpha the mean of the kept magnitudes, the error is sum w^2 - sum_c count_c * alpha_c^2.
        integers, scale = ternarize(weight, threshold)
        count = integers.abs().sum(channel_dims(weight), keepdim=True)
        return float((count * scale.square()).sum(dtype=torch.float64))

    return weight.new_tensor(max(THRESHOLDS, key=kept_energy))
