"""Eight-bit activations: what is common to all, and the members that learn their step or nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, TrialError
from mpsearch.kernels.quantized_layer import ActivationFormat
from mpsearch.quant.quantizer import SMALLEST_SCALE, ActivationQuantizer
from mpsearch.quant.ste import scale_grad
from mpsearch.quant.uniform_grid import Grid, grid_integers, round_to_grid

UNSIGNED_ZERO_POINT = -128
SAMPLES_PER_CALL = 8192
SAMPLES_IN_ALL = 8 * SAMPLES_PER_CALL


class Int8Activation(ActivationQuantizer):
    """Round to 256 levels, with one scale for the whole tensor.

    q = clip(round(x * (1 / s)), low, high), y = s * q; low = -128 - zero_point, high = 127 - zero_point. If
    no calibration input was negative the zero point is -128 and the grid is 0..255, else it is 0. Rounding is
    half to even, as `ActivationFormat` says. What is learnt, and how, is up to the member.

    Calibration picks the scale of least squared error on a sample of the inputs.

    Shape: x of any shape.
    Raises: ConfigError before calibration.
    """

    log_scale: Tensor
    zero_point: Tensor  # NaN until calibrated, so that a saved model carries both facts in one number

    def __init__(self) -> None:
        super().__init__()
        self._samples: Tensor | None = None
        self._extremes = (torch.inf, -torch.inf)

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    def _whole_zero_point(self) -> float:
        return float(self.zero_point)

    def grid(self) -> Grid:
        zero_point = self._whole_zero_point()
        if not -128 <= zero_point <= 127:  # also refuses NaN
            raise ConfigError(
                "An 8-bit activation must be calibrated before it runs. Call `calibrate` first."
            )
        return Grid(low=-128 - int(zero_point), high=127 - int(zero_point))

    def start_calibration(self) -> None:
        self._samples = self.log_scale.new_empty(0)
        self._extremes = (torch.inf, -torch.inf)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        assert self._samples is not None
        least, greatest = (float(value) for value in x.float().aminmax())
        if not (np.isfinite(least) and np.isfinite(greatest)):
            raise TrialError("Calibration inputs must be finite; an 8-bit layer saw NaN or infinity.")
        self._extremes = min(least, self._extremes[0]), max(greatest, self._extremes[1])
        self._samples = torch.cat([self._samples, _sample(x.float())])[-SAMPLES_IN_ALL:]
        self._fit(self._samples, *self._extremes)

    def _set_zero_point(self, least: float) -> None:
        self.zero_point.fill_(UNSIGNED_ZERO_POINT if least >= 0 else 0)

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        self._set_zero_point(least)
        grid = self.grid()
        self.log_scale.copy_(least_error_scale(samples, grid_reach(grid, least, greatest), grid).log())

    def end_calibration(self) -> None:
        self._samples = None

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.scale
        return grid_integers(x, scale, self.grid()), scale

    @torch.no_grad()
    def format(self) -> ActivationFormat:
        grid = self.grid()
        return ActivationFormat(bits=8, scale=np.float32(self.scale.item()), zero_point=-128 - grid.low)


class LsqActivation(Int8Activation):
    """Learn the step.

    With v = x / s: x gets g where low - 1/2 < v < high + 1/2, else 0; s gets the sum of g * (q - v) there and
    of g * q elsewhere, times 1 / sqrt(n * 127), n the inputs of one sample. The paper clips at low and high
    themselves; of 256 levels, half a step more is little. The parameter is log s (see LsqQuantizer).

    Source: Esser et al. 2020, arXiv:1902.08153; log domain: Jain et al. 2019, arXiv:1903.08066.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(torch.nan))

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid()
        return round_to_grid(x, scale_grad(self.scale, gradient_share(x)), grid)


class MinmaxActivation(Int8Activation):
    """Learn nothing: the scale reaches just as far as the calibration inputs did.

    x gets g where low - 1/2 < x / s < high + 1/2, else 0. The baseline that the others must beat.

    Source: Jacob et al. 2018, arXiv:1712.05877 (there with running averages of the extremes).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_scale", torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(torch.nan))

    def _fit(self, samples: Tensor, least: float, greatest: float) -> None:
        self._set_zero_point(least)
        grid = self.grid()
        reach = grid_reach(grid, least, greatest)
        self.log_scale.copy_(samples.new_tensor(reach if reach > SMALLEST_SCALE else 1 / 127).log())

    def forward(self, x: Tensor) -> Tensor:
        return round_to_grid(x, self.scale, self.grid())


def gradient_share(x: Tensor) -> float:
    """LSQ's factor on the gradient of a scale: 1 / sqrt(n * 127), n the inputs of one sample."""
    return float((max(x[0].numel(), 1) * 127) ** -0.5)


def grid_reach(grid: Grid, least: float, greatest: float) -> float:
    """The smallest scale that clips neither extreme."""
    above = greatest / grid.high if grid.high else 0.0
    return max(above, least / grid.low) if grid.low else above


def _sample(x: Tensor) -> Tensor:
    """Values at random places, the same ones for the same shape."""
    if x.numel() <= SAMPLES_PER_CALL:
        return x.reshape(-1)
    places = torch.Generator().manual_seed(x.numel())
    index = torch.randint(x.numel(), (SAMPLES_PER_CALL,), generator=places).to(x.device)
    return x.reshape(-1)[index]


def least_error_scale(samples: Tensor, reach: float, grid: Grid, *, candidates: int = 32) -> Tensor:
    """The scale, of a geometric row up to `reach`, with the least squared error."""
    if reach < SMALLEST_SCALE:  # the layer saw zeros only
        return samples.new_tensor(1 / 127)
    scales = samples.new_tensor(reach) * torch.logspace(-1.3, 0.0, candidates, device=samples.device)
    steps = scales[:, None]
    error = (samples / steps).round_().clamp_(grid.low, grid.high).mul_(steps).sub_(samples).square_().sum(1)
    return scales[error.argmin()]
