"""What every weight quantizer and every activation quantizer offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mpsearch.kernels.quantized_layer import ActivationFormat

# Scales stay above this, so that dead channels and layers yield neither NaN nor infinity.
SMALLEST_SCALE = 1e-8


def channel_dims(weight: Tensor) -> tuple[int, ...]:
    """All dimensions but the first, which counts the output channels."""
    return tuple(range(1, weight.ndim))


class WeightQuantizer(nn.Module, ABC):
    """Latent 32-bit weights -> the numbers that a kernel multiplies with.

    `forward(weight)` equals `integers * scale` of `quantize(weight)` to the bit.

    Shape: weight (N, *) -> (N, *), N output channels.
    """

    @property
    def is_annealed(self) -> bool:
        """Whether `anneal` changes anything."""
        return False

    def anneal(self, t: float) -> None:
        """Sharpen what the gradients approximate; t rises from 0 to 1 over the training."""

    def share_weights(self) -> None:
        """Leave the latent weights as they are: from now on they are also those of another quantizer."""

    @abstractmethod
    def quantize(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Integers as float32 (N, *) and their scale (N, 1, ..., 1), both without gradients."""

    def negative_scale(self) -> Tensor | None:
        """The scale of integers below 0, (N, 1, ..., 1), where it is not that of the others."""
        return None

    def latent(self, integers: Tensor, scale: Tensor, _weight: Tensor) -> Tensor:
        """Latent weights that, among those of `weight`, become these integers; `scale` is that of `quantize`.

        Shape: all but scale (N, *) -> (N, *).
        """
        return integers * scale

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor: ...


class ActivationQuantizer(nn.Module, ABC):
    """A layer's 32-bit input -> the numbers that a kernel multiplies with.

    `forward(x)` is scale * integers of `quantize(x)` to the bit, in float32; under autocast in its narrower
    type, as the product that follows would round it anyway.

    Must be calibrated before use: `start_calibration()`, then `observe(x)` on a few inputs, then
    `end_calibration()`. `mpsearch.quant.swap.calibrate` does this for a whole model.

    Shape: x (*, C, *spatial) -> the same.
    """

    def anneal(self, t: float) -> None:
        """Sharpen what the gradients approximate; t rises from 0 to 1 over the training."""

    @abstractmethod
    def start_calibration(self) -> None: ...

    @abstractmethod
    def observe(self, x: Tensor) -> None:
        """Fit to every input seen since `start_calibration`.

        Raises: TrialError if an input is not finite.
        """

    @abstractmethod
    def end_calibration(self) -> None: ...

    @abstractmethod
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Integers as float32, of the shape of x, and their scale (), both without gradients.

        Raises: ConfigError if not calibrated.
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Raises: ConfigError if not calibrated."""

    def output_scale(self, _x: Tensor) -> Tensor | None:
        """What the layer's output, before its bias, is multiplied by for this input; None: by nothing.

        Shape: x (*, C, *spatial) -> (*, 1, *spatial of the output).
        """
        return None

    @abstractmethod
    def format(self) -> ActivationFormat:
        """How the kernels do what `forward` does.

        Raises: ConfigError if not calibrated.
        """


def flat_dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a * b over two tensors of one shape; without a temporary where their layouts agree."""
    if a.is_contiguous() and b.is_contiguous():
        return torch.dot(a.view(-1), b.view(-1))
    if a.ndim == 4 and all(t.is_contiguous(memory_format=torch.channels_last) for t in (a, b)):
        return torch.dot(a.permute(0, 2, 3, 1).reshape(-1), b.permute(0, 2, 3, 1).reshape(-1))
    return (a * b).sum()
