"""Eight-bit activations with a learnt step and a learnt offset."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.quant.int8_activation import Int8Activation, gradient_share, grid_reach, least_error_scale
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.uniform_grid import round_to_grid

LEAST, GREATEST = -128, 127


class _WithinBounds(Function):
    """x; its gradient, but 0 where x is at a bound or beyond and a step downhill would lead further out.

    Such steps change no output, and an optimizer would have to come back all the way. `clamp` passes them at
    the bound itself, where calibration often puts x, and beyond it lets nothing lead back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float, greatest: float) -> Tensor:
        ctx.save_for_backward(x <= least, x >= greatest)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grads
        is_low, is_high = ctx.saved_tensors
        return grad.masked_fill(is_low & (grad > 0) | is_high & (grad < 0), 0), None, None


class LsqPlusActivation(Int8Activation):
    """Learn the step, and how far the grid reaches below zero.

    y = s * clip(round(x / s), -128 - z, 127 - z), z = round(128 * zero_point) within -128..127. The paper's
    offset is -s * z here, a whole number of steps: the kernels' zero point carries it, and 0, which
    convolutions pad with, stays exact. Inputs of -0.3..3, as after SiLU or GELU, use all 256 levels.

    x and s get what `LsqActivation` gives them; z gets minus the sum of g * s over the clipped inputs, times
    the same 1 / sqrt(n * 127), rounding straight through, or 0 where a step downhill would lead out of
    -128..127. The parameter is z / 128: an optimizer that normalizes gradients then moves it about as fast as
    log s. Calibration sets z from the extremes of the inputs and 0, and then s for the least squared error.

    Shape: x of any shape.
    Source: Bhalgat et al. 2020, arXiv:2004.09576.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.zero_point = nn.Parameter(torch.tensor(torch.nan))

    def _whole_zero_point(self) -> float:
        return float((128 * self.zero_point.detach()).round().clamp(LEAST, GREATEST))

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        low, high = min(least, 0.0), max(greatest, 0.0)
        above_low = -low / (high - low) if high > low else 0.0  # 0 where no input is negative
        self.zero_point.fill_((round(255 * above_low) - 128) / 128)
        grid = self.grid()
        self.log_scale.copy_(least_error_scale(samples, grid_reach(grid, low, high), grid).log())

    def forward(self, x: Tensor) -> Tensor:
        share = gradient_share(x)
        zero_point: Tensor = _WithinBounds.apply(self.zero_point, LEAST / 128, GREATEST / 128)
        offset = scale_grad(-128 * zero_point, share)
        return round_to_grid(x, scale_grad(self.scale, share), self.grid(), offset)
