"""Eight-bit activations with a learnt step and a learnt offset."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.quant.int8_activation import Int8Activation, gradient_share, grid_reach, least_error_scale
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.uniform_grid import round_to_grid


class LsqPlusActivation(Int8Activation):
    """Learn the step, and how far the grid reaches below zero.

    y = s * clip(round(x / s), -128 - z, 127 - z), z = round(128 * zero_point) within -128..127. The paper's
    offset is -s * z here, a whole number of steps: the kernels' zero point carries it, and 0, which
    convolutions pad with, stays exact. Inputs of -0.3..3, as after SiLU or GELU, use all 256 levels.

    x and s get what `LsqActivation` gives them; z gets minus the sum of g * s over the clipped inputs, times
    the same 1 / sqrt(n * 127), rounding straight through. The parameter is z / 128: an optimizer that
    normalizes gradients then moves it about as fast as log s. Calibration sets z from the extremes of the
    inputs and 0, and then s for the least squared error.

    Shape: x of any shape.
    Source: Bhalgat et al. 2020, arXiv:2004.09576.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.zero_point = nn.Parameter(torch.tensor(torch.nan))

    def _whole_zero_point(self) -> float:
        return float((128 * self.zero_point.detach()).round().clamp(-128, 127))

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        low, high = min(least, 0.0), max(greatest, 0.0)
        above_low = -low / (high - low) if high > low else 0.0  # 0 where no input is negative
        self.zero_point.fill_((round(255 * above_low) - 128) / 128)
        grid = self.grid()
        self.log_scale.copy_(least_error_scale(samples, grid_reach(grid, low, high), grid).log())

    def forward(self, x: Tensor) -> Tensor:
        share = gradient_share(x)
        offset = scale_grad(-128 * self.zero_point, share)
        return round_to_grid(x, scale_grad(self.scale, share), self.grid(), offset)
