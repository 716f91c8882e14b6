"""What every kernel must compute, in numpy: slow, plain, exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ShapeError
from mpsearch.kernels.quantized_layer import (
    LEAST_TOKEN_SCALE,
    TOKEN_STEP,
    ActivationFormat,
    QuantizedLayer,
)


def quantize_activations(x: NDArray[np.float32], fmt: ActivationFormat) -> NDArray[np.int8]:
    """Real input -> integers, in float32 arithmetic.

    8 bit: a = clip(round_half_even(x * inverse_scale), -128 - zero_point, 127 - zero_point) + zero_point;
           NaN becomes zero_point, the real number 0. With a scale for each token that one's instead.
           Ternary: clipped to -1..1.
    1 bit: a = +1 if x >= threshold[c] else -1; NaN becomes -1.

    Shape: x (..., C) -> (..., C).
    Raises: ShapeError if x is not float32, or has another number of channels than the threshold.
    """
    if x.dtype != np.float32:
        raise ShapeError(f"`x` must be float32; got {x.dtype}.")
    if fmt.threshold is not None:
        if x.shape[-1:] != fmt.threshold.shape:
            raise ShapeError(f"`x` must have {fmt.threshold.size} channels last; got shape {x.shape}.")
        return np.where(x >= fmt.threshold, 1, -1).astype(np.int8)
    with np.errstate(over="ignore", invalid="ignore"):
        inverse = np.float32(1) / token_scales(x) if fmt.scale_of == "token" else fmt.inverse_scale
        scaled = x * inverse
    number = np.where(np.isnan(scaled), np.float32(0), scaled)
    low, high = (-1, 1) if fmt.ternary else (-128 - fmt.zero_point, 127 - fmt.zero_point)
    clipped = np.clip(np.rint(number), low, high)
    return (clipped.astype(np.int16) + fmt.zero_point).astype(np.int8)


def token_scales(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scale of each row of inputs: max(max |x| * TOKEN_STEP, 1e-8); NaN counts as 0.

    Shape: x (..., C) -> (..., 1).
    """
    greatest = np.where(np.isnan(x), np.float32(0), np.abs(x)).max(-1, keepdims=True)
    scales: NDArray[np.float32] = np.maximum(greatest * TOKEN_STEP, LEAST_TOKEN_SCALE)
    return scales


def pixel_scales(layer: QuantizedLayer, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean magnitude of the inputs in each output's window, summed in float64.

    Shape: x (N, H, W, C) -> (N, OH, OW, 1).
    """
    magnitudes = np.abs(x.astype(np.float64)).sum(-1, keepdims=True)
    kernel = layer.weight.shape[2:]
    sums = _window_sums(layer, magnitudes, np.ones((1, 1, 1, *kernel)))
    means: NDArray[np.float64] = sums / (layer.in_channels * kernel[0] * kernel[1])
    return means.astype(np.float32)


def integer_output(layer: QuantizedLayer, a: NDArray[np.int8]) -> NDArray[np.int32]:
    """Sums over k of (a[k] - zero_point) * weight[n, k]; padding adds nothing.

    Summed in float64, exact for these integers.

    Shape: a (N, H, W, C) -> (N, OH, OW, out_channels).
    Raises: ShapeError if a has other channels, or the kernel does not fit.
    """
    if a.dtype != np.int8 or a.ndim != 4 or a.shape[3] != layer.in_channels or a.size == 0:
        raise ShapeError(
            f"`a` must be int8 (N, H, W, {layer.in_channels}), not empty; got {a.dtype} {a.shape}."
        )
    centred = a.astype(np.float64) - (layer.activation.zero_point if layer.activation.bits == 8 else 0)
    groups, columns, channels = layer.groups, layer.out_channels // layer.groups, layer.weight.shape[1]
    weight = layer.weight.reshape(groups, columns, channels, *layer.weight.shape[2:]).astype(np.float64)
    return _window_sums(layer, centred, weight).astype(np.int32, order="C")


def _window_sums(
    layer: QuantizedLayer, x: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sums over a layer's windows.

    Shape: x (N, H, W, C), weight (G, columns, C / G, KH, KW) -> (N, OH, OW, G * columns).
    """
    (pad_h, pad_w), (stride_h, stride_w), (dilation_h, dilation_w) = (
        layer.padding,
        layer.stride,
        layer.dilation,
    )
    groups, columns, channels, kernel_h, kernel_w = weight.shape
    padded = np.pad(x, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
    out_h = (padded.shape[1] - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    out_w = (padded.shape[2] - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    if out_h < 1 or out_w < 1:
        raise ShapeError(
            f"The kernel must fit the padded input; got {x.shape[1:3]} for a kernel of {kernel_h}x{kernel_w}."
        )
    sums = np.zeros((groups, len(x), out_h, out_w, columns))
    for kh in range(kernel_h):
        for kw in range(kernel_w):
            top, left = kh * dilation_h, kw * dilation_w
            tap = padded[
                :,
                top : top + stride_h * (out_h - 1) + 1 : stride_h,
                left : left + stride_w * (out_w - 1) + 1 : stride_w,
            ]
            for group in range(groups):
                part = tap[..., group * channels : (group + 1) * channels]
                sums[group] += part @ weight[group, :, :, kh, kw].T
    return np.moveaxis(sums, 0, 3).reshape(len(x), out_h, out_w, groups * columns)


def run_reference(layer: QuantizedLayer, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums to reals: y = float32(sum) * (activation scale * weight scale) + bias, rounded at each step.

    Weights below 0 with their own scale: z = float32(sum over w > 0) * scale + float32(sum over w < 0) *
    negative scale; a scale for each token or pixel: z * that. Then the bias.

    Shape: x (N, H, W, C) -> (N, OH, OW, out_channels).
    Raises: ShapeError as `quantize_activations` and `integer_output`.
    """
    a = quantize_activations(x, layer.activation)
    if layer.negative_factor is None:
        y = integer_output(layer, a).astype(np.float32) * layer.scale
    else:
        above, below = (
            integer_output(replace(layer, weight=layer.weight * is_kept), a).astype(np.float32)
            for is_kept in (layer.weight > 0, layer.weight < 0)
        )
        y = above * layer.scale + below * layer.negative_factor
    if layer.activation.scale_of == "token":
        y = y * token_scales(x)
    elif layer.activation.scale_of == "pixel":
        y = y * pixel_scales(layer, x)
    return y if layer.bias is None else y + layer.bias
