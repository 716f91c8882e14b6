"""A small convolutional network for 8x8 handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.models.width import scaled_channels


class DigitsCnn(nn.Module):
    """Four 3x3 convolutions and two linear layers: six quantizable layers, 99 thousand weights.

    Wide enough that its layers take longer to compute than to call, and small enough that each bit taken away
    shows. BatchNorm follows every layer but the last, as low bits need. `width` times these channels and
    features, in multiples of 8.

    Shape: x (N, 1, 8, 8) -> logits (N, num_classes).
    """

    def __init__(self, num_classes: int = 10, width: float = 1) -> None:
        super().__init__()
        narrow, wide, features = (scaled_channels(channels, width) for channels in (32, 64, 128))
        self.conv1 = nn.Conv2d(1, narrow, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, wide, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.conv4 = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.bn4 = nn.BatchNorm2d(wide)
        self.fc1 = nn.Linear(wide * 2 * 2, features, bias=False)
        self.bn5 = nn.BatchNorm1d(features)
        self.fc2 = nn.Linear(features, num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        x = self.relu(self.bn3(self.conv3(x)))
        x = self.pool(self.relu(self.bn4(self.conv4(x))))
        x = self.relu(self.bn5(self.fc1(torch.flatten(x, 1))))
        return self.fc2(x)
