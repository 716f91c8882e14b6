"""A small convolutional network for 8x8 handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DigitsCnn(nn.Module):
    """Four 3x3 convolutions and two linear layers: six quantizable layers, 99 thousand weights.

    Wide enough that its layers take longer to compute than to call, and small enough that each bit taken away
    shows. BatchNorm follows every layer but the last, as low bits need.

    Shape: x (N, 1, 8, 8) -> logits (N, num_classes).
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(64)
        self.conv4 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn4 = nn.BatchNorm2d(64)
        self.fc1 = nn.Linear(64 * 2 * 2, 128, bias=False)
        self.bn5 = nn.BatchNorm1d(128)
        self.fc2 = nn.Linear(128, num_classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.relu(self.bn2(self.conv2(x))))
        x = self.relu(self.bn3(self.conv3(x)))
        x = self.pool(self.relu(self.bn4(self.conv4(x))))
        x = self.relu(self.bn5(self.fc1(torch.flatten(x, 1))))
        return self.fc2(x)
