"""Eight-bit inputs of linear layers with a scale for each row, found out at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from mpsearch.errors import TrialError
from mpsearch.kernels.quantized_layer import LEAST_TOKEN_SCALE, TOKEN_STEP, ActivationFormat
from mpsearch.quant.quantizer import ActivationQuantizer
from mpsearch.quant.uniform_grid import product_type


class _RoundRows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, inverse_scale: Tensor) -> Tensor:
        ctx.save_for_backward(inverse_scale)
        return (x * inverse_scale).round_().clamp_(-128, 127)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (inverse_scale,) = ctx.saved_tensors
        return grads[0] * inverse_scale, None


class PerTokenActivation(ActivationQuantizer):
    """Round each row to 255 levels, the greatest of which is its greatest magnitude.

    r = max(max |x| / 127, 1e-8) over the row, q = round(x / r), y = r * q. Nothing is clipped, so the
    gradient reaches x unchanged; r counts as a constant. `forward` and `quantize` yield q, `output_scale` r,
    which the layer's output is multiplied by.

    Needs no calibration.

    Shape: x (*, C) -> the same; r (*, 1).
    Source: Ma et al. 2024 (BitNet b1.58), arXiv:2402.17764.
    """

    def start_calibration(self) -> None:
        pass

    def observe(self, x: Tensor) -> None:
        if not bool(x.isfinite().all()):
            raise TrialError("Calibration inputs must be finite; an 8-bit layer saw NaN or infinity.")

    def end_calibration(self) -> None:
        pass

    @torch.no_grad()
    def output_scale(self, x: Tensor) -> Tensor:
        greatest = x.float().abs().amax(-1, keepdim=True)
        return greatest.mul_(float(TOKEN_STEP)).clamp_min_(float(LEAST_TOKEN_SCALE))

    @torch.no_grad()
    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q: Tensor = _RoundRows.apply(x.float(), 1 / self.output_scale(x))
        return q, torch.ones((), device=x.device)

    def forward(self, x: Tensor) -> Tensor:
        q: Tensor = _RoundRows.apply(x.float(), 1 / self.output_scale(x))
        return q.to(product_type(x))

    def format(self) -> ActivationFormat:
        return ActivationFormat(bits=8, scale=np.float32(1), scale_of="token")
