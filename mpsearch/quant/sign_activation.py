"""Activations of -1 and +1 times a scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.errors import ConfigError, ShapeError, TrialError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.quantizer import SMALLEST_SCALE, ActivationQuantizer, flat_dot
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.ste import binarize, scale_grad, sign_slope


class _Sign(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor, scale: Tensor, slope: Any) -> Tensor:
        y = binarize(x, threshold).mul_(scale)
        ctx.save_for_backward(x, threshold, scale, y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, threshold, scale, y = ctx.saved_tensors
        grad_x = ctx.slope((x - threshold).div_(scale)).mul_(grad)
        grad_threshold = None
        if ctx.needs_input_grad[1]:
            grad_threshold = -grad_x.sum_to_size(threshold.shape)
        grad_scale = flat_dot(grad, y) / scale if ctx.needs_input_grad[2] else None
        return grad_x, grad_threshold, grad_scale, None


class SignActivation(ActivationQuantizer):
    """Compare each input with the learnt threshold of its channel; one learnt scale.

    y = s * sign(x - t_c), sign(0) = +1. With u = (x - t_c) / s, x gets g * slope(u) and t_c its negative
    sum; s gets sum(g * sign(u)) / sqrt(n), n the inputs of one sample. s is learnt as log s: an optimizer
    that normalizes gradients then moves it by a fraction of itself, and it stays positive.

    Calibration sets t_c to the channel's mean, because inputs after a ReLU are never negative and would
    all become +1, and s to the mean of |x - t_c|, which minimizes the squared error for these thresholds.

    Shape: x (*, C, *spatial), with `spatial_dims` trailing dimensions after the channels.
    Raises: ConfigError if the gradient is unknown or before calibration; ShapeError if x has other channels.
    Source: RSign and its threshold: Liu et al. 2020, arXiv:2003.03488; slopes: see `ste.sign_slope`.
    """

    def __init__(self, channels: int, *, spatial_dims: int, gradient: SignGradient = "clipped") -> None:
        super().__init__()
        self.slope = sign_slope(gradient)
        self.gradient = gradient
        self.channel_dim = -1 - spatial_dims
        self.threshold = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.tensor(float("nan")))
        self._sums: tuple[Tensor, float, float, int] | None = None

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def _threshold(self) -> Tensor:
        return self.threshold.view(-1, *[1] * (-1 - self.channel_dim))

    def _check(self, x: Tensor) -> None:
        if x.ndim < -self.channel_dim or x.shape[self.channel_dim] != len(self.threshold):
            raise ShapeError(
                f"`x` must have {len(self.threshold)} channels in dimension {self.channel_dim}; "
                f"got {tuple(x.shape)}."
            )

    def _check_calibrated(self) -> None:
        if bool(self.log_scale.isnan()):
            raise ConfigError(
                "A binary activation must be calibrated before it runs. Call `calibrate` first."
            )

    def start_calibration(self) -> None:
        self._sums = (torch.zeros_like(self.threshold, dtype=torch.float64), 0.0, 0.0, 0)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        self._check(x)
        assert self._sums is not None
        x = x.float()
        channel_sum, channel_count, distance, count = self._sums
        other_dims = [dim for dim in range(x.ndim) if dim != x.ndim + self.channel_dim]
        # A linear layer may get one sample without a batch dimension: then there is nothing to sum over.
        sums = x.double().sum(other_dims) if other_dims else x.double()
        channel_sum = channel_sum + sums
        channel_count += x.numel() / len(self.threshold)
        if not bool(channel_sum.isfinite().all()):
            raise TrialError("Calibration inputs must be finite; a binary layer saw NaN or infinity.")
        self.threshold.copy_(channel_sum / channel_count)
        # Distances of earlier inputs were to the thresholds of that time, which hardly move.
        distance += float((x - self._threshold()).abs_().sum(dtype=torch.float64))
        count += x.numel()
        self._sums = (channel_sum, channel_count, distance, count)
        self.log_scale.fill_(float(np.log(max(distance / count, SMALLEST_SCALE))))

    def end_calibration(self) -> None:
        self._sums = None

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        self._check_calibrated()
        return binarize(x.float(), self._threshold()), self.scale

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        self._check_calibrated()
        x = x.float()
        scale = scale_grad(self.scale, max(x[0].numel(), 1) ** -0.5)
        result: Tensor = _Sign.apply(x, self._threshold(), scale, self.slope)
        return result

    @torch.no_grad()
    def format(self) -> ActivationFormat:
        self._check_calibrated()
        return ActivationFormat(
            bits=1,
            scale=np.float32(self.scale.item()),
            threshold=self.threshold.detach().cpu().numpy().copy(),
        )
