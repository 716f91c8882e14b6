"""The sign of activations, with gradients: in one pass over memory each way on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mpsearch.kernels.extension import forced_isa, load_extension
from mpsearch.quant.cache_blocks import cache_blocks
from mpsearch.quant.native_memory import memory_place, native_order, native_threads
from mpsearch.quant.quantizer import flat_dot
from mpsearch.quant.quantizer_choice import SignGradient
from mpsearch.quant.sign_slope import sign_slope
from mpsearch.quant.uniform_grid import product_type

# `Slope` in sign_pass.hpp. The others need a tanh, which costs more than the passes over memory do.
NATIVE_SLOPES: dict[SignGradient, int] = {"identity": 0, "clipped": 1, "approx_sign": 2}


def take_signs(
    x: Tensor, threshold: Tensor, scale: Tensor, window: Tensor, *, gradient: SignGradient, t: float
) -> Tensor:
    """Compute s * sign(x - t_c), sign(0) = +1 and sign(NaN) = -1, in the type of `product_type`.

    x gets g * slope((x - t_c) / window), with the slope that `gradient` names at the share t of the training;
    t_c gets its negative sum, s the sum of g * sign(x - t_c).

    Shape: x (*, C, *spatial) -> the same; threshold (C, 1, ..., 1), a 1 for each spatial dimension; scale and
        window ().
    """
    y: Tensor = _TakeSigns.apply(x, threshold, scale, window, gradient, t)
    return y


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLayout:
    """Number i of channel c of piece p lies at p * stride + c * inner + i: `Channels` in sign_pass.hpp."""

    pieces: int
    channels: int
    inner: int
    stride: int


def native_signs(
    x: tuple[int, bool], y: tuple[int, bool], layout: ChannelLayout, *, threshold: Tensor, scale: float
) -> None:
    """Write s * sign(x - t_c) to y, both given by `memory_place`.

    Shape: threshold (C, 1, ..., 1), float32 and contiguous.
    """
    load_extension().take_signs(
        *x,
        *y,
        *astuple(layout),
        threshold.data_ptr(),
        scale,
        native_threads(),
        forced_isa(),
    )


def native_sign_gradients(
    grad: tuple[int, bool],
    x: tuple[int, bool],
    grad_x: int,
    layout: ChannelLayout,
    *,
    threshold: Tensor,
    window: float,
    gradient: SignGradient,
) -> tuple[Tensor, float]:
    """Write the gradient of x to the address `grad_x`, in the type of x; those of threshold and of scale.

    Shape: threshold (C, 1, ..., 1), float32 and contiguous -> the same.
    """
    by_threshold = torch.empty_like(threshold)
    by_scale: float = load_extension().take_signs_backward(
        *grad,
        *x,
        grad_x,
        *astuple(layout),
        threshold.data_ptr(),
        window,
        NATIVE_SLOPES[gradient],
        by_threshold.data_ptr(),
        native_threads(),
        forced_isa(),
    )
    return by_threshold, by_scale


class _TakeSigns(Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        x, threshold, scale, window, gradient, t = given
        ctx.gradient, ctx.t = gradient, t
        dtype = product_type(x)
        order = _native_order(x, threshold, dtype)
        if order is None:
            y = _signs_in_torch(x, threshold, scale, dtype)
        else:
            y = torch.empty_like(x, dtype=dtype, memory_format=order)
            layout = _layout(x, threshold)
            native_signs(memory_place(x), memory_place(y), layout, threshold=threshold, scale=float(scale))
        ctx.order = order if gradient in NATIVE_SLOPES else None
        # The passes in torch take the signs from y; the native one compares again.
        ctx.save_for_backward(x, threshold, window, scale, y if ctx.order is None else None)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _gradients_in_torch if ctx.order is None else _gradients
        grad_x, by_threshold, by_scale = gradients(ctx, grads[0])
        takes_threshold, takes_scale = ctx.needs_input_grad[1:3]
        return (
            grad_x,
            by_threshold if takes_threshold else None,
            by_scale if takes_scale else None,
            None,
            None,
            None,
        )


def _native_order(x: Tensor, threshold: Tensor, dtype: torch.dtype) -> torch.memory_format | None:
    if threshold.dtype != torch.float32 or x.numel() == 0:
        return None
    return native_order(x, dtype)


def _layout(x: Tensor, threshold: Tensor) -> ChannelLayout:
    """Of x, which fills its memory without a gap."""
    channels = threshold.numel()
    # The stride of a dimension of one is arbitrary.
    inner = x.stride(-threshold.ndim) if channels > 1 else x.numel()
    stride = channels * inner
    return ChannelLayout(pieces=x.numel() // stride, channels=channels, inner=inner, stride=stride)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, threshold, window, _, _ = ctx.saved_tensors
    grad = grad.contiguous(memory_format=ctx.order)
    grad_x = torch.empty_like(x, memory_format=ctx.order)
    by_threshold, by_scale = native_sign_gradients(
        memory_place(grad),
        memory_place(x),
        grad_x.data_ptr(),
        _layout(x, threshold),
        threshold=threshold,
        window=float(window),
        gradient=ctx.gradient,
    )
    return grad_x, by_threshold, window.new_tensor(by_scale)


def _sample_blocks(threshold: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """`cache_blocks`, but one input without a batch stays whole: its first dimension is the channels."""
    return iter([tensors]) if tensors[0].ndim == threshold.ndim else cache_blocks(*tensors)


def _signs_in_torch(x: Tensor, threshold: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    y = torch.empty_like(x, dtype=dtype)
    twice = 2 * scale
    for values, out in _sample_blocks(threshold, x, y):
        wide = out if out.dtype == torch.float32 else torch.empty_like(values, dtype=torch.float32)
        # 1 or 0, times 2s, minus s: exact. A comparison that writes floats is far quicker than a where.
        torch.ge(values.float(), threshold, out=wide).mul_(twice).sub_(scale)
        if wide is not out:
            out.copy_(wide)
    return y


def _gradients_in_torch(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, threshold, window, scale, y = ctx.saved_tensors
    slope = sign_slope(ctx.gradient)
    grad_x = torch.empty_like(x)
    grad_threshold, grad_scale = torch.zeros_like(threshold), torch.zeros_like(scale)
    for upstream, values, signs, out in _sample_blocks(threshold, grad, x, y, grad_x):
        g = upstream.float()
        u = out if out.dtype == torch.float32 else torch.empty_like(values, dtype=torch.float32)
        torch.sub(values.float(), threshold, out=u).div_(window)
        product = slope(u, ctx.t).mul_(g)
        if product is not out:
            out.copy_(product)
        grad_threshold -= product.sum_to_size(threshold.shape)
        grad_scale += flat_dot(g, signs.float())
    return grad_x, grad_threshold, grad_scale / scale.to(y.dtype)
