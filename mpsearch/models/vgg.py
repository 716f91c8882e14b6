"""A small VGG for 32x32 images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VggSmall(nn.Module):
    """Three pairs of 3x3 convolutions, each followed by BatchNorm; the picture halves after each pair.

    Shape: x (N, 3, 32, 32) -> logits (N, num_classes); the pairs have 1, 2 and 4 times `width` channels.
    Source: the layer order of VGG (Simonyan and Zisserman 2014, arXiv:1409.1556), at the size used by
    BinaryConnect (arXiv:1511.00363) when `width` is 128; the default is a quarter of that.
    """

    def __init__(self, num_classes: int = 10, width: int = 32) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = 3
        for out_channels in (width, 2 * width, 4 * width):
            for _ in range(2):
                stages += [
                    nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                ]
                channels = out_channels
            stages.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.features(x)), 1))
