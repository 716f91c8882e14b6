"""Eight-bit activations with a learnt step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.errors import ConfigError, TrialError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.quantizer import SMALLEST_SCALE, ActivationQuantizer, flat_dot
from mpsearch.quant.ste import scale_grad

UNSIGNED_ZERO_POINT = -128
SAMPLES_PER_CALL = 8192
SAMPLES_IN_ALL = 8 * SAMPLES_PER_CALL


def _round(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    return (x * (1 / scale)).round_().clamp_(low, high)


class _RoundToGrid(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        y = _round(x, scale, low, high).mul_(scale)
        ctx.save_for_backward(x, scale, y)
        ctx.range = low, high
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, scale, y = ctx.saved_tensors
        low, high = ctx.range
        step = float(scale)
        # The gradient inside an open interval, else 0, in one pass.
        grad_x = torch.ops.aten.hardtanh_backward(grad, x, (low - 0.5) * step, (high + 0.5) * step)
        grad_scale = None
        if ctx.needs_input_grad[1]:
            # sum(g * (q - v)) inside and sum(g * q) outside, since y = s * q and x = s * v.
            grad_scale = (flat_dot(grad, y) - flat_dot(grad_x, x)) / scale
        return grad_x, grad_scale, None, None


class Int8Activation(ActivationQuantizer):
    """Round to 256 levels; learn one step for the whole tensor.

    q = clip(round(x * (1 / s)), low, high), y = s * q; low..high is 0..255 if no calibration input was
    negative, else -128..127. Rounding is half to even, as `ActivationFormat` says. With v = x / s:
    x gets g where low - 1/2 < v < high + 1/2, else 0; s gets the sum of g * (q - v) there and of g * q
    elsewhere, times 1 / sqrt(n * 127), n the inputs of one sample. The parameter is log s (see LsqQuantizer).

    Calibration picks the step of least squared error on a sample of the inputs.

    Shape: x of any shape.
    Raises: ConfigError before calibration.
    Source: Esser et al. 2020, arXiv:1902.08153; log domain: Jain et al. 2019, arXiv:1903.08066.
    """

    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        # NaN until calibrated, so that a saved model carries both facts in one number.
        self.register_buffer("zero_point", torch.tensor(float("nan")))
        self._samples: Tensor | None = None
        self._extremes = (torch.inf, -torch.inf)

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def _range(self) -> tuple[int, int]:
        zero_point = self.zero_point.item()
        if zero_point not in (0, UNSIGNED_ZERO_POINT):
            raise ConfigError(
                "An 8-bit activation must be calibrated before it runs. Call `calibrate` first."
            )
        return -128 - int(zero_point), 127 - int(zero_point)

    def start_calibration(self) -> None:
        self._samples = self.log_scale.new_empty(0)
        self._extremes = (torch.inf, -torch.inf)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        assert self._samples is not None
        low, high = (float(value) for value in x.float().aminmax())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise TrialError("Calibration inputs must be finite; an 8-bit layer saw NaN or infinity.")
        least, greatest = self._extremes = min(low, self._extremes[0]), max(high, self._extremes[1])
        self._samples = torch.cat([self._samples, _sample(x.float())])[-SAMPLES_IN_ALL:]
        unsigned = least >= 0
        self.zero_point.fill_(UNSIGNED_ZERO_POINT if unsigned else 0)
        q_min, q_max = self._range()
        reach = greatest / q_max if unsigned else max(greatest / q_max, least / q_min)
        self.log_scale.copy_(_least_error_scale(self._samples, reach, q_min, q_max).log())

    def end_calibration(self) -> None:
        self._samples = None

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.scale
        return _round(x.float(), scale, *self._range()), scale

    def forward(self, x: Tensor) -> Tensor:
        low, high = self._range()
        x = x.float()
        scale = scale_grad(self.scale, (max(x[0].numel(), 1) * 127) ** -0.5)
        result: Tensor = _RoundToGrid.apply(x, scale, low, high)
        return result

    @torch.no_grad()
    def format(self) -> ActivationFormat:
        self._range()
        return ActivationFormat(
            bits=8, scale=np.float32(self.scale.item()), zero_point=int(self.zero_point.item())
        )


def _sample(x: Tensor) -> Tensor:
    """Values at random places, the same ones for the same shape."""
    if x.numel() <= SAMPLES_PER_CALL:
        return x.reshape(-1)
    places = torch.Generator().manual_seed(x.numel())
    index = torch.randint(x.numel(), (SAMPLES_PER_CALL,), generator=places).to(x.device)
    return x.reshape(-1)[index]


def _least_error_scale(
    samples: Tensor, reach: float, q_min: int, q_max: int, *, candidates: int = 32
) -> Tensor:
    """The scale, of a geometric row up to the one that clips nothing, with the least squared error."""
    if reach < SMALLEST_SCALE:  # the layer saw zeros only
        return samples.new_tensor(1 / q_max)
    scales = samples.new_tensor(reach) * torch.logspace(-1.3, 0.0, candidates, device=samples.device)
    grid = scales[:, None]
    error = (samples / grid).round_().clamp_(q_min, q_max).mul_(grid).sub_(samples).square_().sum(1)
    return scales[error.argmin()]
