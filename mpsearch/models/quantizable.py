"""Which modules can be quantized, why the others cannot, and the shape of one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mpsearch.models.layer_shape import LayerShape

QUANTIZABLE: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d)

# `kMaxReduction` of the kernels: int32 sums hold as many products of two bytes.
MAX_PRODUCTS = 65_536

NOT_CALLED = "never called on the example inputs"

# Reasons for the modules that users ask about; the first type that fits counts.
REASONS: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    (
        (nn.MultiheadAttention,),
        "nn.MultiheadAttention feeds its projections' weights to one fused function and never calls them "
        "as layers; write attention with separate nn.Linear projections to quantize it",
    ),
    ((nn.Embedding, nn.EmbeddingBag), "a table look-up: it costs memory only"),
    ((nn.RNNBase, nn.RNNCellBase), "recurrent layers have no low-bit kernel"),
    (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        "transposed convolutions have no low-bit kernel",
    ),
    ((nn.Conv3d,), "3-d convolutions have no low-bit kernel"),
    ((nn.Bilinear,), "bilinear layers have no low-bit kernel"),
    (
        (
            nn.modules.batchnorm._NormBase,
            nn.LayerNorm,
            nn.GroupNorm,
            nn.RMSNorm,
            nn.LocalResponseNorm,
        ),
        "normalization stays 32-bit",
    ),
    ((nn.PReLU,), "activation functions stay 32-bit"),
)


def is_candidate(module: nn.Module) -> bool:
    """Whether the module is a Linear, Conv1d or Conv2d, or a subclass of one."""
    return isinstance(module, QUANTIZABLE)


def reason_not_candidate(module: nn.Module) -> str:
    for types, reason in REASONS:
        if isinstance(module, types):
            return reason
    if next(module.children(), None) is not None:
        return "a parameter or buffer of its own, outside any layer"
    return f"{type(module).__name__} is not a layer that has low-bit kernels (Linear, Conv1d and Conv2d have)"


def refusal(module: nn.Module) -> str | None:
    """Why a candidate must stay 32-bit whatever its inputs are, or None if it need not."""
    base = next(kind for kind in QUANTIZABLE if isinstance(module, kind))
    overridden = any(
        method in vars(module) or getattr(type(module), method) is not getattr(base, method)
        for method in ("forward", "_conv_forward")
        if hasattr(base, method)
    )
    if "weight" not in module._parameters:
        return "its weight is computed from other parameters (weight_norm, pruning or a parametrization)"
    if overridden:
        return f"{type(module).__name__} computes something else than nn.{base.__name__}"
    if set(module._parameters) - {"weight", "bias"} or next(module.children(), None) is not None:
        return f"{type(module).__name__} adds parameters to nn.{base.__name__}"
    weight = module._parameters["weight"]
    assert weight is not None
    if weight.dtype != torch.float32:
        return f"its weight is {weight.dtype}, and only float32 layers are quantized"
    if weight[0].numel() > MAX_PRODUCTS:
        return f"{weight[0].numel():,} products per output; kernels sum at most {MAX_PRODUCTS:,}"
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        if module.padding_mode != "zeros":
            return f"padding mode {module.padding_mode!r}: kernels pad with zeros only"
        if module.padding == "same" and any(
            d * (k - 1) % 2 for d, k in zip(module.dilation, module.kernel_size, strict=True)
        ):
            return "'same' padding of an even kernel is asymmetric"
    return None


def hook_refusal(module: nn.Module) -> str | None:
    """Why hooks keep a candidate at 32 bits, or None if it has none: its stand-in would not run them."""
    if module._forward_pre_hooks or module._forward_hooks or module._backward_hooks:
        return "it has hooks, which may change what it computes; remove them to quantize it"
    return None


def call_refusal(module: nn.Module, x: object) -> str | None:
    """Why a call with this input forces the layer to stay 32-bit, or None if it does not."""
    if not isinstance(x, Tensor) or x.is_nested or x.layout != torch.strided:
        return f"called with {type(x).__name__} instead of one dense tensor"
    if x.dtype != torch.float32:
        return f"called with {x.dtype} inputs, and kernels take float32"
    if x.numel() == 0:
        return f"called with an empty input {tuple(x.shape)}"
    dimensions = {nn.Conv1d: 3, nn.Conv2d: 4}
    for kind, ndim in dimensions.items():
        if isinstance(module, kind) and x.ndim != ndim:
            return f"called with an unbatched input {tuple(x.shape)}"
    return None


def call_shape(module: nn.Module, input_size: Sequence[int]) -> LayerShape:
    """The shape of one call of a module that is not refused.

    Shape: input (*, C) for linear, (N, C, L) for conv1d, (N, C, H, W) for conv2d.
    """
    for kind, shape_of in _SHAPES:
        if isinstance(module, kind):
            return shape_of(module, tuple(input_size))
    raise AssertionError(type(module))


def smallest_call(module: nn.Module) -> LayerShape:
    """The shape of a call with the smallest input that the module takes: for its geometry."""
    if isinstance(module, nn.Linear):
        return call_shape(module, (1, module.in_features))
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    extents = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    return call_shape(module, (1, module.in_channels, *extents))


def _linear_shape(module: nn.Linear, size: tuple[int, ...]) -> LayerShape:
    batch = 1
    for length in size[:-1]:
        batch *= length
    return LayerShape(
        operator="linear",
        batch=batch,
        in_channels=module.in_features,
        out_channels=module.out_features,
        has_bias=module.bias is not None,
    )


def _conv_shape(module: nn.Conv1d | nn.Conv2d, size: tuple[int, ...]) -> LayerShape:
    def two(values: Sequence[int], fill: int) -> tuple[int, int]:
        first, second = (fill, *values) if len(values) == 1 else values
        return first, second

    if isinstance(module.padding, str):
        padding = [
            d * (k - 1) // 2 if module.padding == "same" else 0
            for d, k in zip(module.dilation, module.kernel_size, strict=True)
        ]
    else:
        padding = list(module.padding)
    return LayerShape(
        operator="conv1d" if isinstance(module, nn.Conv1d) else "conv2d",
        batch=size[0],
        in_channels=module.in_channels,
        out_channels=module.out_channels,
        spatial=two(size[2:], 1),
        kernel=two(module.kernel_size, 1),
        stride=two(module.stride, 1),
        padding=two(padding, 0),
        dilation=two(module.dilation, 1),
        groups=module.groups,
        has_bias=module.bias is not None,
    )


_SHAPES: tuple[tuple[type[nn.Module], Callable[..., LayerShape]], ...] = (
    (nn.Linear, _linear_shape),
    (nn.Conv1d, _conv_shape),
    (nn.Conv2d, _conv_shape),
)
