"""Activations of -1 and +1 times a scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ShapeError, TrialError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.quantizer import SMALLEST_SCALE, ActivationQuantizer
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sign_pass import take_signs
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.ste import binarize, scale_grad


class SignActivation(ActivationQuantizer):
    """y = s * sign(x - t_c), sign(0) = +1, with a threshold per channel and one scale.

    Shape: x (*, C, *spatial), with `spatial_dims` trailing dimensions after the channels.
    Raises: ConfigError if the gradient is unknown or before calibration; ShapeError if x has other channels.
    """

    threshold: Tensor
    log_scale: Tensor  # NaN until calibrated

    def __init__(self, channels: int, *, spatial_dims: int, gradient: SignGradient = "clipped") -> None:
        super().__init__()
        sign_slope(gradient)  # refuses a name that there is none of
        self.gradient = gradient
        self.channels = channels
        self.channel_dim = -1 - spatial_dims
        self.annealed = 0.0

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def anneal(self, t: float) -> None:
        self.annealed = t

    def _per_channel(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (-1 - self.channel_dim))

    def _check(self, x: Tensor) -> None:
        if x.ndim < -self.channel_dim or x.shape[self.channel_dim] != self.channels:
            raise ShapeError(
                f"`x` must have {self.channels} channels in dimension {self.channel_dim}; "
                f"got {tuple(x.shape)}."
            )

    def check_calibrated(self) -> None:
        if bool(self.log_scale.isnan()):
            raise ConfigError(
                "A binary activation must be calibrated before it runs. Call `calibrate` first."
            )

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        self.check_calibrated()
        return binarize(x.float(), self._per_channel(self.threshold)), self.scale

    @torch.no_grad()
    def format(self) -> ActivationFormat:
        self.check_calibrated()
        return ActivationFormat(
            bits=1,
            scale=np.float32(self.scale.item()),
            threshold=self.threshold.detach().cpu().numpy().copy(),
        )

    def _sign(self, x: Tensor, scale: Tensor, window: Tensor) -> Tensor:
        """S * sign(x - t_c); x gets g * slope((x - t_c) / window), t_c its negative sum."""
        self._check(x)
        self.check_calibrated()
        threshold = self._per_channel(self.threshold)
        return take_signs(x, threshold, scale, window, gradient=self.gradient, t=self.annealed)


class RSignActivation(SignActivation):
    """Compare each input with the learnt threshold of its channel; one learnt scale.

    y = s * sign(x - t_c), sign(0) = +1. With u = (x - t_c) / s, x gets g * slope(u) and t_c its negative
    sum; s gets sum(g * sign(u)) / sqrt(n), n the inputs of one sample. s is learnt as log s: an optimizer
    that normalizes gradients then moves it by a fraction of itself, and it stays positive.

    Calibration sets t_c to the channel's mean, because inputs after a ReLU are never negative and would
    all become +1, and s to the mean of |x - t_c|, which minimizes the squared error for these thresholds.

    Source: RSign and its threshold: Liu et al. 2020, arXiv:2003.03488; slopes: see `sign_slope`.
    """

    def __init__(self, channels: int, *, spatial_dims: int, gradient: SignGradient = "clipped") -> None:
        super().__init__(channels, spatial_dims=spatial_dims, gradient=gradient)
        self.threshold = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.tensor(torch.nan))
        self._sums: tuple[Tensor, float, float, int] | None = None

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
        channel_count += x.numel() / self.channels
        if not bool(channel_sum.isfinite().all()):
            raise TrialError("Calibration inputs must be finite; a binary layer saw NaN or infinity.")
        self.threshold.copy_(channel_sum / channel_count)
        # Distances of earlier inputs were to the thresholds of that time, which hardly move.
        distance += float((x - self._per_channel(self.threshold)).abs_().sum(dtype=torch.float64))
        count += x.numel()
        self._sums = (channel_sum, channel_count, distance, count)
        self.log_scale.fill_(float(np.log(max(distance / count, SMALLEST_SCALE))))

    def end_calibration(self) -> None:
        self._sums = None

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale
        shared = scale_grad(scale, max(x[0].numel(), 1) ** -0.5)
        return self._sign(x, shared, scale.detach())


class FixedSignActivation(SignActivation):
    """The plain sign, times the mean magnitude of the calibration inputs; nothing is learnt.

    y = s * sign(x), sign(0) = +1; x gets s * g * slope(x). BinaryNet has s = 1, which BatchNorm after the
    layer makes the same; XNOR-Net has one s for every output pixel (`xnor`). For inputs of both signs and
    about unit variance, as BatchNorm gives: after a ReLU every output would be +s, and the layer would see
    nothing.

    Source: Courbariaux et al. 2016, arXiv:1602.02830; slopes: see `sign_slope`.
    """

    def __init__(self, channels: int, *, spatial_dims: int, gradient: SignGradient = "clipped") -> None:
        super().__init__(channels, spatial_dims=spatial_dims, gradient=gradient)
        self.register_buffer("threshold", torch.zeros(channels))
        self.register_buffer("log_scale", torch.tensor(torch.nan))
        self._sums = (0.0, 0)

    def start_calibration(self) -> None:
        self._sums = (0.0, 0)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        self._check(x)
        magnitude = self._sums[0] + float(x.float().abs().sum(dtype=torch.float64))
        if not np.isfinite(magnitude):
            raise TrialError("Calibration inputs must be finite; a binary layer saw NaN or infinity.")
        self._sums = magnitude, self._sums[1] + x.numel()
        self.log_scale.fill_(float(np.log(max(magnitude / self._sums[1], SMALLEST_SCALE))))

    def end_calibration(self) -> None:
        self._sums = (0.0, 0)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale
        # The slope is taken at x, not at x / s as that of `RSignActivation`, where the two s cancel.
        return self._sign(scale_grad(x, float(scale)), scale, torch.ones_like(scale))
