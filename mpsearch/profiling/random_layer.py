"""Layers of a given shape with arbitrary weights: time does not depend on the values."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer, ScaleOf
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme
from mpsearch.runtime.packed_layer import PackedLayer


def random_layer(shape: LayerShape, scheme: Scheme, *, threads: int, seed: int = 0) -> nn.Module:
    """The module that the runtime would run for a layer of this shape under this scheme."""
    if scheme.is_full_precision:
        return _float_layer(shape, seed)
    return PackedLayer(random_quantized_layer(shape, scheme, seed=seed), threads=threads)


def random_input(shape: LayerShape, seed: int = 0) -> Tensor:
    """Shape: linear (B, C); conv1d (B, C, L); conv2d (B, C, H, W) channels_last."""
    generator = torch.Generator().manual_seed(seed)
    height, width = shape.spatial
    if shape.operator == "linear":
        return torch.randn(shape.batch, shape.in_channels, generator=generator)
    if shape.operator == "conv1d":
        return torch.randn(shape.batch, shape.in_channels, width, generator=generator)
    x = torch.randn(shape.batch, shape.in_channels, height, width, generator=generator)
    return x.contiguous(memory_format=torch.channels_last)


def _float_layer(shape: LayerShape, seed: int) -> nn.Module:
    geometry = {"groups": shape.groups, "bias": shape.has_bias}
    if shape.operator == "linear":
        layer: nn.Module = nn.utils.skip_init(
            nn.Linear, shape.in_channels, shape.out_channels, bias=shape.has_bias
        )
    elif shape.operator == "conv1d":
        layer = nn.utils.skip_init(
            nn.Conv1d,
            shape.in_channels,
            shape.out_channels,
            shape.kernel[1],
            stride=shape.stride[1],
            padding=shape.padding[1],
            dilation=shape.dilation[1],
            **geometry,
        )
    else:
        layer = nn.utils.skip_init(
            nn.Conv2d,
            shape.in_channels,
            shape.out_channels,
            shape.kernel,
            stride=shape.stride,
            padding=shape.padding,
            dilation=shape.dilation,
            **geometry,
        ).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, shape.reduction**-0.5, generator=generator)
    return layer.eval()


def random_quantized_layer(shape: LayerShape, scheme: Scheme, *, seed: int = 0) -> QuantizedLayer:
    generator = np.random.default_rng(seed)
    low, high = WEIGHT_RANGES[scheme.name]
    size = (shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    if scheme.weight_bits == 1:
        weight = generator.choice(np.array([-1, 1], np.int8), size)
    else:
        weight = generator.integers(low, high, size, np.int8, endpoint=True)
    scale = np.full(shape.out_channels, 1 / math.sqrt(shape.reduction), np.float32)
    extras = shape.at(scheme).extras
    scale_of: ScaleOf = "layer"
    if "token_scale" in extras:
        scale_of = "token"
    elif "pixel_scale" in extras:
        scale_of = "pixel"
    return QuantizedLayer(
        operator=shape.operator,
        scheme=scheme,
        weight=weight,
        weight_scale=scale,
        negative_scale=scale if "two_scales" in extras else None,
        bias=np.zeros(shape.out_channels, np.float32) if shape.has_bias else None,
        activation=ActivationFormat(
            bits=scheme.activation_bits,
            scale=np.float32(0.02 if scale_of == "layer" else 1),
            threshold=np.zeros(shape.in_channels, np.float32) if scheme.activation_bits == 1 else None,
            scale_of=scale_of,
            ternary_step=np.float32(0.7) if "ternary_input" in extras else None,
        ),
        stride=shape.stride,
        padding=shape.padding,
        dilation=shape.dilation,
        groups=shape.groups,
    )
