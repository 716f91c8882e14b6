"""A small network in the order that inputs of one bit need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.models.width import scaled_channels


class XnorCnn(nn.Module):
    """The layers of `DigitsCnn` in XNOR-Net's order: BatchNorm, (sign,) convolution, ReLU, pooling.

    What a layer binarizes then has both signs and about unit variance; behind a ReLU, as in `DigitsCnn`,
    every sign would be +1. The first convolution reads pixels, and has its BatchNorm behind it. `width`
    times these channels and features, in multiples of 8.

    Shape: x (N, 1, 8, 8) -> logits (N, num_classes).
    Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.2.
    """

    def __init__(self, num_classes: int = 10, width: float = 1) -> None:
        super().__init__()
        narrow, wide, features = (scaled_channels(channels, width) for channels in (32, 64, 128))
        self.conv1 = nn.Conv2d(1, narrow, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
        self.bn4 = nn.BatchNorm2d(wide)
        self.conv4 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn5 = nn.BatchNorm1d(wide * 2 * 2)
        self.fc1 = nn.Linear(wide * 2 * 2, features, bias=False)
        self.bn6 = nn.BatchNorm1d(features)
        self.fc2 = nn.Linear(features, num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(self.bn2(x))))
        x = self.relu(self.conv3(self.bn3(x)))
        x = self.pool(self.relu(self.conv4(self.bn4(x))))
        x = self.relu(self.fc1(self.bn5(torch.flatten(x, 1))))
        return self.fc2(self.bn6(x))
