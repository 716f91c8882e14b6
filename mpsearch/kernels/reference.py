"""What every kernel must compute, in numpy: slow, plain, exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ShapeError
from mpsearch.kernels.quantized_layer import ActivationFormat, QuantizedLayer


def quantize_activations(x: NDArray[np.float32], fmt: ActivationFormat) -> NDArray[np.int8]:
    """Real input -> integers, in float32 arithmetic.

    8 bit: a = clip(round_half_even(x * inverse_scale), -128 - zero_point, 127 - zero_point) + zero_point;
           NaN becomes zero_point, the real number 0.
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
        scaled = x * fmt.inverse_scale
    number = np.where(np.isnan(scaled), np.float32(0), scaled)
    clipped = np.clip(np.rint(number), -128 - fmt.zero_point, 127 - fmt.zero_point)
    return (clipped.astype(np.int16) + fmt.zero_point).astype(np.int8)


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
    (pad_h, pad_w), (stride_h, stride_w), (dilation_h, dilation_w) = (
        layer.padding,
        layer.stride,
        layer.dilation,
    )
    kernel_h, kernel_w = layer.weight.shape[2:]
    centred = a.astype(np.float64) - (layer.activation.zero_point if layer.activation.bits == 8 else 0)
    padded = np.pad(centred, ((0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)))
    out_h = (padded.shape[1] - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    out_w = (padded.shape[2] - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    if out_h < 1 or out_w < 1:
        raise ShapeError(
            f"The kernel must fit the padded input; got {a.shape[1:3]} for a kernel of {kernel_h}x{kernel_w}."
        )
    groups, columns, channels = layer.groups, layer.out_channels // layer.groups, layer.weight.shape[1]
    weight = layer.weight.reshape(groups, columns, channels, kernel_h, kernel_w).astype(np.float64)
    sums = np.zeros((groups, a.shape[0], out_h, out_w, columns))
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
    joined = np.moveaxis(sums, 0, 3).reshape(a.shape[0], out_h, out_w, layer.out_channels)
    return joined.astype(np.int32, order="C")


def run_reference(layer: QuantizedLayer, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums to reals: y = float32(sum) * (activation scale * weight scale) + bias, rounded at each step.

    Shape: x (N, H, W, C) -> (N, OH, OW, out_channels).
    Raises: ShapeError as `quantize_activations` and `integer_output`.
    """
    sums = integer_output(layer, quantize_activations(x, layer.activation))
    y = sums.astype(np.float32) * layer.scale
    return y if layer.bias is None else y + layer.bias
