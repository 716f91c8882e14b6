"""Eight-bit activations between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from mpsearch.quant.int8_activation import Int8Activation
from mpsearch.quant.uniform_grid import round_to_grid


class DorefaActivation(Int8Activation):
    """Learn nothing and look at nothing: inputs are clipped at 1.

    y = round(255 clip(x, 0, 1)) / 255. Inputs that can be negative, which the paper has not, are rounded to
    127ths and clipped at 1 and -128/127. x gets g where it is not clipped, else 0. It takes an activation
    function or a BatchNorm that keeps most inputs below 1.

    Shape: x of any shape.
    Source: Zhou et al. 2016, arXiv:1606.06160.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_scale", torch.zeros(()))
        self.register_buffer("zero_point", torch.tensor(torch.nan))

    def _fit(self, _samples: Tensor, least: float, _greatest: float) -> None:
        self._set_zero_point(least)
        self.log_scale.fill_(-math.log(self.grid().high))

    def forward(self, x: Tensor) -> Tensor:
        return round_to_grid(x, self.scale, replace(self.grid(), slack=0.0, learns_inside=False))
