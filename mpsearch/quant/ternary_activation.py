"""Activations of -1, 0 and +1 times a scale, in eight bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.int8_activation import Int8Activation, grid_reach, least_error_scale
from mpsearch.quant.quantizer import SMALLEST_SCALE, flat_dot
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.twn import TWN_THRESHOLD
from mpsearch.quant.uniform_grid import Grid, grid_integers, product_type, round_to_grid


class TernaryActivation(Int8Activation):
    """Round to -1, 0, +1 in units of a learnt scale.

    q = clip(round(x * (1 / s)), -1, 1), y = s * q. With v = x / s: x gets g where |v| < 1, else 0; s gets the
    sum of g * (q - v) there and of g * q elsewhere, times 1 / sqrt(n), n the inputs of one sample. After a
    ReLU only 0 and +1 occur. Calibration picks the scale of least squared error. The parameter is log s.

    Shape: x of any shape.
    Raises: ConfigError before calibration.
    Source: Esser et al. 2020, arXiv:1902.08153, with the three levels of Li et al. 2016, arXiv:1605.04711.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(torch.nan))

    def grid(self) -> Grid:
        super().grid()  # refuses to run uncalibrated
        return Grid(low=-1, high=1, slack=0.0)

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        self.zero_point.fill_(0)
        grid = self.grid()
        self.log_scale.copy_(least_error_scale(samples, grid_reach(grid, least, greatest), grid).log())

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid()
        return round_to_grid(x, scale_grad(self.scale, _share(x)), grid)

    def _step(self) -> Tensor:
        return self.scale

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return grid_integers(x, self._step(), self.grid()), self.scale

    @torch.no_grad()
    def format(self) -> ActivationFormat:
        self.grid()
        scale, step = (np.float32(number.item()) for number in (self.scale, self._step()))
        return ActivationFormat(bits=8, scale=scale, ternary_step=step)


class _Threshold(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, step: Tensor) -> Tensor:
        integers = grid_integers(x, step, Grid(low=-1, high=1))
        reach = scale + step / 2
        ctx.save_for_backward(integers, x.abs() < reach)
        return integers * scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        (grad,) = grads
        integers, is_inside = ctx.saved_tensors
        return grad * is_inside, flat_dot(grad, integers), None


class ThresholdTernaryActivation(TernaryActivation):
    """Zero the small inputs; the others keep their sign and share a learnt magnitude.

    y = s * sign(x) where |x| > delta, else 0. Calibration sets delta = 0.7 * mean |x|, which then stays, and
    s to the mean of the |x| above it. x gets g where |x| < s + delta, else 0; s gets the sum of g * sign(x)
    over what is not 0, times 1 / sqrt(n), n the inputs of one sample. The parameter is log s.

    Shape: x of any shape.
    Raises: ConfigError before calibration.
    Source: the threshold is that of Li et al. 2016, arXiv:1605.04711, there of weights.
    """

    step: Tensor  # 2 delta: rounding to multiples of it and clipping to -1..1 compares with delta

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("step", torch.ones(()))

    def _step(self) -> Tensor:
        return self.step

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        del least, greatest
        self.zero_point.fill_(0)
        magnitude = samples.abs()
        delta = (TWN_THRESHOLD * magnitude.mean()).clamp_min(SMALLEST_SCALE)
        kept = magnitude[magnitude > delta]
        self.step.copy_(2 * delta)
        self.log_scale.copy_((kept.mean() if len(kept) else delta).log())

    def forward(self, x: Tensor) -> Tensor:
        self.grid()
        y: Tensor = _Threshold.apply(x.float(), scale_grad(self.scale, _share(x)), self.step)
        return y.to(product_type(x))


def _share(x: Tensor) -> float:
    return float(max(x[0].numel(), 1) ** -0.5)
