"""The activation function of ReActNet: a PReLU whose kink may lie anywhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RPReLU(nn.Module):
    """y = prelu(x - shift_in[c], slope[c]) + shift_out[c]; all three learnt for each channel.

    Shape: x (N, channels, *) -> the same.
    Source: Liu et al. 2020, arXiv:2003.03488, equation 5; slopes start at 0.25, shifts at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift_in = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.shift_out = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        by_channel = (-1, *(1,) * (x.ndim - 2))
        shifted = x - self.shift_in.view(by_channel)
        return F.prelu(shifted, self.slope) + self.shift_out.view(by_channel)
