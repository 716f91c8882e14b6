"""The layer shapes of benchmarks/kernels.py, by name, and layers of random integers."""

from __future__ import annotations

import numpy as np

from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import SCHEMES


def linear(batch: int, in_channels: int, out_channels: int) -> LayerShape:
    return LayerShape(operator="linear", batch=batch, in_channels=in_channels, out_channels=out_channels)


def conv(
    side: int, in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> LayerShape:
    return LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=in_channels,
        out_channels=out_channels,
        spatial=(side, side),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(kernel // 2, kernel // 2),
        groups=groups,
    )


def conv1d(length: int, in_channels: int, out_channels: int, kernel: int) -> LayerShape:
    return LayerShape(
        operator="conv1d",
        batch=1,
        in_channels=in_channels,
        out_channels=out_channels,
        spatial=(1, length),
        kernel=(1, kernel),
        padding=(0, kernel // 2),
    )


CASES: dict[str, LayerShape] = {
    "gemm 1024^3": linear(1024, 1024, 1024),
    "gemm 128^3": linear(128, 128, 128),
    "gemm 512x4096x4096": linear(512, 4096, 4096),
    "gemv 4096^2": linear(1, 4096, 4096),
    "gemv 512^2": linear(1, 512, 512),
    **{f"gemm {rows}x4096x4096": linear(rows, 4096, 4096) for rows in (2, 3, 4, 8)},
    "conv 3x3 56^2 x 64": conv(56, 64, 64),
    "conv 3x3 28^2 x 128": conv(28, 128, 128),
    "conv 3x3 14^2 x 256": conv(14, 256, 256),
    "conv 3x3 7^2 x 512": conv(7, 512, 512),
    "conv 1x1 28^2 x 128": conv(28, 128, 128, 1),
    "conv 1x1 14^2 x 512": conv(14, 512, 512, 1),
    "conv 3x3 stride 2 56^2 x 64 -> 128": conv(56, 64, 128, stride=2),
    "conv 5x5 14^2 x 128": conv(14, 128, 128, 5),
    "conv 7x7 stem 224^2 x 3 -> 64": conv(224, 3, 64, 7, stride=2),
    "conv 3x3 stem 32^2 x 3 -> 16": conv(32, 3, 16),
    "conv 3x3 32^2 x 16": conv(32, 16, 16),
    "conv 3x3 16^2 x 32": conv(16, 32, 32),
    "conv 3x3 8^2 x 64": conv(8, 64, 64),
    "depthwise 3x3 28^2 x 128": conv(28, 128, 128, groups=128),
    "depthwise 5x5 14^2 x 256": conv(14, 256, 256, 5, groups=256),
    "grouped 3x3 28^2 x 128, 4 groups": conv(28, 128, 128, groups=4),
    "conv1d 9 256 x 64": conv1d(256, 64, 64, 9),
}


def random_layer(shape: LayerShape, scheme_name: str, rng: np.random.Generator) -> QuantizedLayer:
    """A layer of that shape with uniformly distributed integers."""
    scheme = SCHEMES[scheme_name]
    low, high = WEIGHT_RANGES[scheme_name]
    weight_shape = (shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    weight = rng.integers(low, high + 1, weight_shape).astype(np.int8)
    if scheme.weight_bits == 1:
        weight[weight == 0] = 1
    threshold = np.zeros(shape.in_channels, np.float32) if scheme.activation_bits == 1 else None
    return QuantizedLayer(
        operator=shape.operator,
        scheme=scheme,
        weight=weight,
        weight_scale=rng.random(shape.out_channels, dtype=np.float32),
        bias=rng.random(shape.out_channels, dtype=np.float32),
        activation=ActivationFormat(
            bits=scheme.activation_bits, scale=np.float32(1 / 64), threshold=threshold
        ),
        stride=shape.stride,
        padding=shape.padding,
        dilation=shape.dilation,
        groups=shape.groups,
    )
