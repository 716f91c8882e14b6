"""A depthwise separable network for keyword spotting."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.errors import ConfigError


class SeparableBlock(nn.Sequential):
    """A 3x3 convolution of each channel by itself, then 1x1 across channels; BatchNorm and ReLU after both.

    Shape: x (N, channels, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            OrderedDict(
                depthwise=nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
                bn1=nn.BatchNorm2d(channels),
                relu1=nn.ReLU(),
                pointwise=nn.Conv2d(channels, channels, 1, bias=False),
                bn2=nn.BatchNorm2d(channels),
                relu2=nn.ReLU(),
            )
        )


class DsCnn(nn.Module):
    """DS-CNN: a 10x4 convolution of stride 2, then depthwise separable blocks and the mean of all positions.

    The defaults are the paper's small network (S): ten quantizable layers and 22 thousand weights, for one
    second of sound as 49 frames of 10 MFCC features. Twelve classes: ten words, silence, unknown.

    Shape: x (N, 1, frames, features) such as 49x10 or 101x40, no less than 1x2 -> logits (N, num_classes).
    Raises: ConfigError if `width` or `blocks` is below 1.
    Source: Zhang et al. 2017, "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128.
    """

    def __init__(self, num_classes: int = 12, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        if min(width, blocks) < 1:
            raise ConfigError(f"`width` and `blocks` must be at least 1; got {width} and {blocks}.")
        self.conv1 = nn.Conv2d(1, width, (10, 4), stride=2, padding=(5, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.blocks = nn.Sequential(*(SeparableBlock(width) for _ in range(blocks)))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
