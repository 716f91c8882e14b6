"""A small MobileNetV2 for 32x32 images."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpsearch.models.width import scaled_channels

# Expansion, channels, blocks, stride of the first block: the paper's stages up to 96 channels, of at most two
# blocks, with two of its five halvings, as pictures of 32x32 pixels need.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 1), (6, 64, 2, 2), (6, 96, 1, 1))
STEM, LAST = 32, 384


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, 3x3 of each by itself, 1x1 back; plus x where the sizes stay.

    BatchNorm follows each, ReLU6 the first two; the narrow end is linear. With expansion 1 there is no first
    convolution.

    Shape: x (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    Source: Sandler et al. 2018, arXiv:1801.04381, section 3.3.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * in_channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion > 1:
            layers["expand"] = nn.Conv2d(in_channels, inner, 1, bias=False)
            layers["bn1"] = nn.BatchNorm2d(inner)
            layers["relu1"] = nn.ReLU6()
        layers["depthwise"] = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        layers["bn2"] = nn.BatchNorm2d(inner)
        layers["relu2"] = nn.ReLU6()
        layers["project"] = nn.Conv2d(inner, out_channels, 1, bias=False)
        layers["bn3"] = nn.BatchNorm2d(out_channels)
        self.layers = nn.Sequential(layers)
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.adds else y


class MobileNetV2Small(nn.Module):
    """A 3x3 convolution, eight inverted residuals and a 1x1 convolution: 26 quantizable layers.

    `width` multiplies every number of channels: 216 thousand weights and 25 million products at 1.

    Shape: x (N, 3, 32, 32) -> logits (N, num_classes).
    Raises: ConfigError if `width` is out of range.
    Source: Sandler et al. 2018, arXiv:1801.04381, table 2, shortened (`STAGES`).
    """

    def __init__(self, num_classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled_channels(STEM, width)
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        blocks = []
        for expansion, out, count, first_stride in STAGES:
            for stride in (first_stride, *(1,) * (count - 1)):
                out_channels = scaled_channels(out, width)
                blocks.append(InvertedResidual(channels, out_channels, stride, expansion))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(channels, scaled_channels(LAST, width), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(scaled_channels(LAST, width))
        self.relu = nn.ReLU6()
        self.fc = nn.Linear(scaled_channels(LAST, width), num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
