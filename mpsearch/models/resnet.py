"""ResNets for 32x32 images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PaddedShortcut(nn.Module):
    """Option A of the paper: take every second pixel, fill the new channels with zeros; no parameters.

    Shape: x (N, C, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.new_channels // 2
        return F.pad(x, (0, 0, 0, 0, before, self.new_channels - before))


class ProjectedShortcut(nn.Sequential):
    """Option B of the paper: a 1x1 convolution with BatchNorm.

    Shape: x (N, C, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
        )


Shortcut = type[PaddedShortcut] | type[ProjectedShortcut]


class ResidualBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)); x itself where the sizes stay."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else shortcut(in_channels, out_channels, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class CifarResNet(nn.Module):
    """Three stages of residual blocks at 32, 16 and 8 pixels: depth = 6 * blocks + 2.

    The shortcuts have no parameters (option A), as in the paper's CIFAR networks: every quantizable layer
    is then a 3x3 convolution or the classifier, and published ResNet-20 figures compare.

    Shape: x (N, 3, 32, 32) -> logits (N, num_classes).
    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """

    def __init__(self, *, blocks: int, num_classes: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.stage1 = _stage(width, width, blocks, stride=1, shortcut=PaddedShortcut)
        self.stage2 = _stage(width, 2 * width, blocks, stride=2, shortcut=PaddedShortcut)
        self.stage3 = _stage(2 * width, 4 * width, blocks, stride=2, shortcut=PaddedShortcut)
        self.fc = nn.Linear(4 * width, num_classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class ResNet18(nn.Module):
    """ResNet-18 with the stem of the CIFAR networks: 3x3, stride 1, no pooling before the first stage.

    Four stages of two residual blocks at 32, 16, 8 and 4 pixels, of 1, 2, 4 and 8 times `width` channels;
    where the size changes, the shortcut is a 1x1 convolution (option B). 21 quantizable layers, 11 million
    weights at width 64.

    Shape: x (N, 3, 32, 32) -> logits (N, num_classes).
    Source: He et al. 2015, arXiv:1512.03385, table 1; the stem as in section 4.2.
    """

    def __init__(self, num_classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.stage1 = _stage(width, width, 2, stride=1, shortcut=ProjectedShortcut)
        self.stage2 = _stage(width, 2 * width, 2, stride=2, shortcut=ProjectedShortcut)
        self.stage3 = _stage(2 * width, 4 * width, 2, stride=2, shortcut=ProjectedShortcut)
        self.stage4 = _stage(4 * width, 8 * width, 2, stride=2, shortcut=ProjectedShortcut)
        self.fc = nn.Linear(8 * width, num_classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _stage(
    in_channels: int, out_channels: int, blocks: int, *, stride: int, shortcut: Shortcut
) -> nn.Sequential:
    channels = [in_channels] + [out_channels] * blocks
    strides = [stride] + [1] * (blocks - 1)
    sizes = zip(channels[:-1], channels[1:], strides, strict=True)
    return nn.Sequential(*(ResidualBlock(*size, shortcut) for size in sizes))


def _initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet20(num_classes: int = 10, width: int = 16) -> CifarResNet:
    """ResNet-20: 20 quantizable layers, 270 thousand weights at width 16."""
    return CifarResNet(blocks=3, num_classes=num_classes, width=width)
