"""What a user would pick instead: torch in float32, and every int8 engine that torch has."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from mpsearch.models.layer_shape import LayerShape

Call = Callable[[], object]
_INPUT_SCALE, _INPUT_ZERO, _WEIGHT_SCALE, _OUTPUT_SCALE = 0.03, 64, 0.02, 0.1


def float_call(shape: LayerShape, x: torch.Tensor) -> Call:
    """The layer in float32; x (N, C, H, W) in channels-last memory."""
    weight, bias = _parameters(shape)
    if shape.operator == "linear":
        flat, matrix = x.flatten(1).contiguous(), weight.flatten(1).contiguous()
        return lambda: torch.nn.functional.linear(flat, matrix, bias)
    return lambda: torch.nn.functional.conv2d(
        x, weight, bias, shape.stride, shape.padding, shape.dilation, shape.groups
    )


def int8_calls(shape: LayerShape, x: torch.Tensor) -> tuple[Call, Call]:
    """The fastest int8 operator alone (its input quantized already), and the fastest from float32 to float32.

    Engines that refuse the shape are left out; each of the others is tried a few times.
    """
    products: list[Call] = []
    layers: list[Call] = []
    make = _linear_calls if shape.operator == "linear" else _conv_calls
    chosen = torch.backends.quantized.engine
    for engine in ("x86", "fbgemm", "onednn"):
        if engine not in torch.backends.quantized.supported_engines:
            continue
        torch.backends.quantized.engine = engine
        product, layer = make(shape, x)
        if engine == "onednn":  # its operators crash while another engine is chosen
            product, layer = _under(engine, product), [_under(engine, call) for call in layer]
        products.append(product)
        layers += layer
    torch.backends.quantized.engine = chosen
    return min(products, key=_shortest), min(layers, key=_shortest)


def _under(engine: str, call: Call) -> Call:
    def run() -> object:
        chosen = torch.backends.quantized.engine
        torch.backends.quantized.engine = engine
        try:
            return call()
        finally:
            torch.backends.quantized.engine = chosen

    return run


def _parameters(shape: LayerShape) -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.randn(shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)
    return weight.contiguous(memory_format=torch.channels_last), torch.randn(shape.out_channels)


def _quantized_weight(weight: torch.Tensor) -> torch.Tensor:
    scales = torch.full((len(weight),), _WEIGHT_SCALE, dtype=torch.double)
    return torch.quantize_per_channel(
        weight, scales, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8
    )


def _quantized(x: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(x, _INPUT_SCALE, _INPUT_ZERO, torch.quint8)


def _linear_calls(shape: LayerShape, x: torch.Tensor) -> tuple[Call, list[Call]]:
    weight, bias = _parameters(shape)
    flat = x.flatten(1).contiguous()
    rows = _quantized_weight(weight.flatten(1).contiguous())
    # A packed weight each: oneDNN crashes if one serves static and dynamic calls.
    static, dynamic = (torch.ops.quantized.linear_prepack(rows, bias) for _ in range(2))
    integers = _quantized(flat)
    product = torch.ops.quantized.linear
    return (
        lambda: product(integers, static, _OUTPUT_SCALE, _INPUT_ZERO),
        [
            lambda: torch.ops.quantized.linear_dynamic(flat, dynamic, True),
            lambda: product(_quantized(flat), static, _OUTPUT_SCALE, _INPUT_ZERO).dequantize(),
        ],
    )


def _conv_calls(shape: LayerShape, x: torch.Tensor) -> tuple[Call, list[Call]]:
    weight, bias = _parameters(shape)
    packed = torch.ops.quantized.conv2d_prepack(
        _quantized_weight(weight), bias, shape.stride, shape.padding, shape.dilation, shape.groups
    )
    integers = _quantized(x)
    product = torch.ops.quantized.conv2d
    return (
        lambda: product(integers, packed, _OUTPUT_SCALE, _INPUT_ZERO),
        [lambda: product(_quantized(x), packed, _OUTPUT_SCALE, _INPUT_ZERO).dequantize()],
    )


def _shortest(call: Call) -> float:
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begin)
    return best
