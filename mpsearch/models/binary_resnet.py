"""A ResNet-20 in which binary activations lose less: a shortcut around every convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.rprelu import RPReLU


class PooledShortcut(nn.Module):
    """The mean of each 2x2 window, and zeros as new channels; no parameters.

    Shape: x (N, C, H, W), H and W even -> (N, out_channels, H / 2, W / 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        before = self.new_channels // 2
        return F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, before, self.new_channels - before))


class RealShortcutLayer(nn.Module):
    """rprelu(bn(conv(x)) + shortcut(x)): what goes around the convolution is never binarized.

    Shape: x (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    Source: Liu et al. 2018, arXiv:1808.00278 (a shortcut per convolution); 2020, arXiv:2003.03488 (RPReLU).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity() if stride == 1 else PooledShortcut(in_channels, out_channels)
        self.rprelu = RPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.bn(self.conv(x)) + self.shortcut(x))


class BinaryResNet20(nn.Module):
    """ResNet-20 for one-bit activations: the same convolutions, 18 shortcuts instead of 9, RPReLU for ReLU.

    Where the picture halves, the shortcut averages pixels and pads channels with zeros, so that every
    quantizable layer is a 3x3 convolution or the classifier, as in `resnet20`.

    Shape: x (N, 3, 32, 32) -> logits (N, num_classes).
    Source: as in `RealShortcutLayer`; the sizes of He et al. 2015, arXiv:1512.03385, section 4.2.
    """

    def __init__(self, num_classes: int = 10, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.rprelu = RPReLU(width)
        self.stage1 = _stage(width, width)
        self.stage2 = _stage(width, 2 * width)
        self.stage3 = _stage(2 * width, 4 * width)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.rprelu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _stage(in_channels: int, out_channels: int) -> nn.Sequential:
    first = RealShortcutLayer(in_channels, out_channels, 1 if in_channels == out_channels else 2)
    return nn.Sequential(first, *(RealShortcutLayer(out_channels, out_channels, 1) for _ in range(5)))
