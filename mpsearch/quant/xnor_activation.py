"""Activations of -1 and +1 with a scale for each output pixel, found out at run time."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mpsearch.errors import TrialError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sign_activation import SignActivation


class XnorActivation(SignActivation):
    """The plain sign; each output is multiplied by the mean magnitude of the inputs in its window.

    y = sign(x), sign(0) = +1, and K = box filter of (mean over all channels of |x|), at the output positions:
    the sum of |x| over a window's channels and taps, divided by their number, padding included. x gets
    g * slope(x); K counts as a constant. In groups too, K is the mean over all channels. For inputs of both
    signs, as BatchNorm gives: after a ReLU every sign would be +1, and K alone would see the input.

    Needs no calibration. K is summed in float64, as in the kernels.

    Shape: x (*, C, *spatial); K (*, 1, *spatial of the output), where a layer without windows is linear.
    Raises: ConfigError if the gradient is unknown; ShapeError if x has other channels.
    Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.2.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel: tuple[int, ...] = (),
        stride: tuple[int, ...] = (),
        padding: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        gradient: SignGradient = "clipped",
    ) -> None:
        super().__init__(channels, spatial_dims=len(kernel), gradient=gradient)
        self.kernel, self.stride, self.padding, self.dilation = kernel, stride, padding, dilation
        self.register_buffer("threshold", torch.zeros(channels))
        self.register_buffer("log_scale", torch.zeros(()))

    def start_calibration(self) -> None:
        pass

    def observe(self, x: Tensor) -> None:
        self._check(x)
        if not bool(x.isfinite().all()):
            raise TrialError("Calibration inputs must be finite; a binary layer saw NaN or infinity.")

    def end_calibration(self) -> None:
        pass

    @torch.no_grad()
    def output_scale(self, x: Tensor) -> Tensor:
        self._check(x)
        sums = x.abs().sum(self.channel_dim, keepdim=True, dtype=torch.float64)
        count = self.channels
        if self.kernel:
            window = sums.new_ones(1, 1, *self.kernel)
            filter_box = F.conv1d if len(self.kernel) == 1 else F.conv2d
            sums = filter_box(sums, window, None, self.stride, self.padding, self.dilation)
            count *= window.numel()
        return (sums / count).float()

    def forward(self, x: Tensor) -> Tensor:
        one = torch.ones_like(self.log_scale)
        return self._sign(x, one, one)

    def format(self) -> ActivationFormat:
        return replace(super().format(), scale_of="pixel")
