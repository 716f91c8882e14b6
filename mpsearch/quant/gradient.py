"""Gradients of few bits in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mpsearch.errors import ConfigError
from mpsearch.quant.layers import QuantLayer

MOST_GRADIENT_BITS = 8


def check_gradient_bits(bits: int) -> None:
    """Raises: ConfigError if bits is outside 1..8."""
    if not 1 <= bits <= MOST_GRADIENT_BITS:
        raise ConfigError(f"Gradients take 1 to {MOST_GRADIENT_BITS} bits; got {bits}.")


@torch.no_grad()
def quantize_gradient(grad: Tensor, *, bits: int) -> Tensor:
    """Round each gradient at random to one of 2^bits levels between the extremes of its sample.

    y = 2 m * (round(n * (g / (2 m) + 1/2) + z) / n - 1/2), n = 2^bits - 1, m = max |g| of the sample,
    z uniform in [-1/2, 1/2) from torch's generator: of a gradient inside the range, the mean is g itself.

    Computed in float32: the 8 bits of a bfloat16 would leave no room for z beside a level of 8 bits.

    Shape: grad (B, *) -> (B, *); m (B, 1, ..., 1).
    Raises: ConfigError if bits is outside 1..8.
    Source: Zhou et al. 2016, arXiv:1606.06160, equation 12.
    """
    check_gradient_bits(bits)
    levels = 2**bits - 1
    if not grad.numel():
        return grad.clone()
    wide = grad.float()
    greatest = wide.abs().amax(tuple(range(1, wide.ndim)), keepdim=True) if wide.ndim > 1 else wide.abs()
    # A sample whose gradients are all 0, or next to it, would divide 0 by 0.
    span = greatest.clamp_min(torch.finfo(torch.float32).tiny).mul_(2)
    level = (wide / span).add_(0.5).mul_(levels).add_(torch.rand_like(wide)).sub_(0.5)
    return level.round_().clamp_(0, levels).div_(levels).sub_(0.5).mul_(span).to(grad.dtype)


class _LowBitGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int) -> Tensor:
        ctx.bits = bits
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return quantize_gradient(grads[0], bits=ctx.bits), None


@contextmanager
def low_bit_gradients(model: nn.Module, bits: int | None) -> Iterator[None]:
    """Within it, the gradients that reach each quantized layer's output are quantized to `bits` bits.

    The gradients of the layer's weights and of its input both follow from the quantized ones, so that both
    products of the backward pass have low-bit operands. None changes nothing. Forward passes stay as they
    are; seed torch's generator to get the same gradients again.

    Raises: ConfigError if bits is outside 1..8.
    Source: Zhou et al. 2016, arXiv:1606.06160.
    """
    if bits is None:
        yield
        return
    check_gradient_bits(bits)

    def wrap(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return _LowBitGradient.apply(output, bits) if torch.is_grad_enabled() else output

    layers = [module for module in model.modules() if isinstance(module, QuantLayer)]
    handles = [layer.register_forward_hook(wrap) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
