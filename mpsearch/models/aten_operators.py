"""Operators of an exported program as nodes of a graph: a table from aten operator to what it makes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import fx

from mpsearch.models.graph import Node, NodeKind, Size


class Unsupported(Exception):  # noqa: N818 - a verdict on one operator, caught where the graph is built
    """An operator that the plan does not know, or not with these arguments. `why` may be empty."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Value:
    """A node, and the shape that torch gives its value, without the batch: (C,), (C, L) or (C, H, W)."""

    node: Node
    shape: tuple[int, ...]


class Owners(Protocol):
    """Who a parameter belongs to."""

    def layer(self, call: Call) -> Node: ...

    def batch_norm(self, call: Call) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operator of the program: its arguments by name, and the values among them."""

    operator: str
    arguments: dict[str, Any]
    inputs: dict[str, Value]
    out_shape: tuple[int, ...]
    owners: Owners

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def value(self, name: str) -> Value:
        """Raises: Unsupported if that argument is a number, a parameter or a constant."""
        if name not in self.inputs:
            raise Unsupported(f"`{name}` is no activation")
        return self.inputs[name]


Handler = Callable[[Call], Value]


def bound_arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of an operator by their names in its schema, defaults included."""
    schema = node.target._schema  # type: ignore[union-attr]
    arguments = {argument.name: argument.default_value for argument in schema.arguments}
    arguments.update(zip(arguments, node.args, strict=False))
    return {**arguments, **node.kwargs}


def size_of(shape: Sequence[int]) -> Size:
    """(height, width, channels) of a value whose shape without the batch is (C,), (C, L) or (C, H, W).

    Raises: Unsupported if it has no such shape.
    """
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise Unsupported(f"on a value of shape (N, {', '.join(map(str, shape))})")
    channels, *spatial = shape
    height, width = [1] * (2 - len(spatial)) + spatial
    return height, width, channels


def _made(call: Call, kind: NodeKind, *inputs: Value, **fields: Any) -> Value:
    """A new node; it gets its name when it enters the graph."""
    names = tuple(value.node.name for value in inputs)
    node = Node(name="", kind=kind, inputs=names, size=size_of(call.out_shape), **fields)
    return Value(node, call.out_shape)


def nothing(call: Call) -> Value:
    """In eval mode the value itself: dropout, copies, conversions to the type that it has."""
    value = call.value("self" if "self" in call.arguments else "input")
    if call.arguments.get("train"):
        raise Unsupported("in training mode")
    if value.shape != call.out_shape:
        raise Unsupported
    return value


def _reshaped(call: Call) -> Value:
    """Any operator that keeps the elements and their order (N, C, H, W) and gives them another shape."""
    value = call.value("self")
    size = size_of(call.out_shape)
    if size == value.node.size:
        return Value(value.node, call.out_shape)
    if size != (1, 1, math.prod(value.shape)):
        before, after = (("N", *map(str, shape)) for shape in (value.shape, call.out_shape))
        raise Unsupported(f"from ({', '.join(before)}) to ({', '.join(after)})")
    return _made(call, "flatten", value)


def _layer(call: Call) -> Value:
    value = call.value("input")
    node = call.owners.layer(call)
    return Value(replace(node, inputs=(value.node.name,)), call.out_shape)


def _affine(call: Call) -> Value:
    return _made(call, "affine", call.value("input"), module=call.owners.batch_norm(call))


def _clamp(low: str | float | None, high: str | float | None) -> Handler:
    """A bound is a number, or the name of the argument that holds it."""

    def handler(call: Call) -> Value:
        bounds = [call[bound] if isinstance(bound, str) else bound for bound in (low, high)]
        if any(isinstance(bound, fx.Node) for bound in bounds):
            raise Unsupported("by a tensor")
        below, above = (None if bound is None else float(bound) for bound in bounds)
        if not (-math.inf if below is None else below) <= (math.inf if above is None else above):
            raise Unsupported(f"from {below} to {above}")
        return _made(call, "clamp", call.value("self"), low=below, high=above)

    return handler


def _add(call: Call) -> Value:
    first, second = call.value("self"), call.value("other")
    if call["alpha"] != 1:
        raise Unsupported(f"with `alpha` {call['alpha']}")
    if first.shape != second.shape:
        raise Unsupported("of values with different shapes")
    return _made(call, "add", first, second)


def _spatial(values: Sequence[int] | int, count: int, fill: int) -> tuple[int, int]:
    """One number for each spatial dimension of a 1-d or 2-d operator -> (down, across)."""
    numbers = [values] if isinstance(values, int) else [*values]
    if len(numbers) == 1:
        numbers *= count
    down, across = [fill] * (2 - count) + numbers
    return down, across


def _pool(kind: NodeKind, count: int) -> Handler:
    def handler(call: Call) -> Value:
        value = _batched(call, "self", count)
        for name, plain in (("dilation", 1), ("divisor_override", None)):
            given = call.arguments.get(name, plain)
            if any(number != plain for number in (given if isinstance(given, list) else [given])):
                raise Unsupported(f"with `{name}` {given}")
        kernel = _spatial(call["kernel_size"], count, 1)
        padding = _spatial(call["padding"], count, 0)
        if not call.arguments.get("count_include_pad", True) and any(padding):
            raise Unsupported("with `count_include_pad` False")
        stride = _spatial(call["stride"], count, 1) if call["stride"] else kernel
        floored = tuple(
            (size + 2 * p - k) // s + 1
            for size, k, s, p in zip(value.node.size[:2], kernel, stride, padding, strict=True)
        )
        if floored != size_of(call.out_shape)[:2]:
            raise Unsupported("with `ceil_mode` True, where it adds a window")
        return _made(call, kind, value, kernel=kernel, stride=stride, padding=padding)

    return handler


def _adaptive_avg_pool(count: int) -> Handler:
    def handler(call: Call) -> Value:
        value = _batched(call, "self", count)
        before, after = value.node.size[:2], size_of(call.out_shape)[:2]
        if before == after:
            return value
        if any(size % parts for size, parts in zip(before, after, strict=True)):
            raise Unsupported(f"from {before} to {after}: windows of unequal size")
        window = (before[0] // after[0], before[1] // after[1])
        return _made(call, "avg_pool", value, kernel=window, stride=window)

    return handler


def _mean(call: Call) -> Value:
    value = call.value("self")
    rank = len(value.shape) + 1
    dims = {dim % rank for dim in call["dim"] or range(rank)}
    if call["dtype"] is not None or dims & {0, 1}:
        raise Unsupported("over more than height and width")
    height, width, channels = value.node.size
    # Dimensions counted from the end: -1 is the width, -2 the height.
    window = (height if rank - 2 in dims else 1, width if rank - 1 in dims else 1)
    size = (height // window[0], width // window[1], channels)
    if size_of(call.out_shape) != size:
        raise Unsupported("over the width alone, without `keepdim`")
    if window == (1, 1):
        return Value(value.node, call.out_shape)
    return _made(call, "avg_pool", value, kernel=window, stride=window)


def _slice(call: Call) -> Value:
    """Every n-th row or column, from the first to the last."""
    value = call.value("self")
    rank = len(value.shape) + 1
    dim, step = call["dim"] % rank, call["step"]
    end = math.inf if call["end"] is None else call["end"]
    # Any end of the batch is a part of some batch.
    length = value.shape[dim - 1] if dim else sys.maxsize
    if call["start"] not in (None, 0) or end < length:
        raise Unsupported("of a part")
    if step == 1:
        return value
    if dim < 2:
        raise Unsupported("of channels")
    stride = (step if dim == rank - 2 else 1, step if dim == rank - 1 else 1)
    return _made(call, "subsample", value, stride=stride)


def _pad(call: Call) -> Value:
    """Zeros as further channels. `pad` holds (before, after) for each dimension, the last one first."""
    value = call.value("self")
    pad, mode, fill = call["pad"], call.arguments.get("mode", "constant"), call["value"]
    rank = len(value.shape) + 1
    channels = slice(2 * rank - 4, 2 * rank - 2)
    before, after = pad[channels] or (0, 0)
    others = pad[: channels.start] + pad[channels.stop :]
    if mode != "constant" or fill not in (None, 0) or any(others) or min(before, after) < 0:
        raise Unsupported("of anything but channels with zeros")
    if before == after == 0:
        return value
    return _made(call, "subsample", value, channels_before=before)


def _batched(call: Call, name: str, count: int) -> Value:
    """The input of an operator on `count` spatial dimensions; with one less it would be unbatched."""
    value = call.value(name)
    if len(value.shape) != count + 1:
        raise Unsupported("on a value without batch dimension")
    return value


OPERATORS: dict[str, Handler] = {
    "aten.conv1d.default": _layer,
    "aten.conv1d.padding": _layer,
    "aten.conv2d.default": _layer,
    "aten.conv2d.padding": _layer,
    "aten.linear.default": _layer,
    "aten.batch_norm.default": _affine,
    "aten.relu.default": _clamp(0.0, None),
    "aten.relu_.default": _clamp(0.0, None),
    "aten.relu6.default": _clamp(0.0, 6.0),
    "aten.relu6_.default": _clamp(0.0, 6.0),
    "aten.hardtanh.default": _clamp("min_val", "max_val"),
    "aten.hardtanh_.default": _clamp("min_val", "max_val"),
    "aten.clamp.default": _clamp("min", "max"),
    "aten.clamp_.default": _clamp("min", "max"),
    "aten.clip.default": _clamp("min", "max"),
    "aten.clamp_min.default": _clamp("min", None),
    "aten.clamp_min_.default": _clamp("min", None),
    "aten.clamp_max.default": _clamp(None, "max"),
    "aten.clamp_max_.default": _clamp(None, "max"),
    "aten.add.Tensor": _add,
    "aten.add_.Tensor": _add,
    "aten.max_pool1d.default": _pool("max_pool", 1),
    "aten.max_pool2d.default": _pool("max_pool", 2),
    "aten.avg_pool1d.default": _pool("avg_pool", 1),
    "aten.avg_pool2d.default": _pool("avg_pool", 2),
    "aten.adaptive_avg_pool1d.default": _adaptive_avg_pool(1),
    "aten.adaptive_avg_pool2d.default": _adaptive_avg_pool(2),
    "aten.mean.dim": _mean,
    "aten.view.default": _reshaped,
    "aten.reshape.default": _reshaped,
    "aten.flatten.using_ints": _reshaped,
    "aten.unflatten.int": _reshaped,
    "aten.unsqueeze.default": _reshaped,
    "aten.squeeze.default": _reshaped,
    "aten.squeeze.dim": _reshaped,
    "aten.squeeze.dims": _reshaped,
    "aten.slice.Tensor": _slice,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
    "aten.dropout.default": nothing,
    "aten.feature_dropout.default": nothing,
    "aten.alpha_dropout.default": nothing,
    "aten.feature_alpha_dropout.default": nothing,
    "aten.contiguous.default": nothing,
    "aten.clone.default": nothing,
    "aten.detach.default": nothing,
    "aten.detach_.default": nothing,
    "aten.alias.default": nothing,
    "aten.to.dtype": nothing,
    "aten.to.device": nothing,
    "aten.to.dtype_layout": nothing,
}

# Operators whose result is never used: they check what export has checked already.
IGNORED = frozenset({"aten._assert_tensor_metadata.default"})


def operator_name(node: fx.Node) -> str:
    """The operator with its overload, as in "aten.relu.default"."""
    return str(node.target)


def short_name(node: fx.Node) -> str:
    """As people know it: "aten.relu"."""
    name = operator_name(node)
    return name.rpartition(".")[0] if isinstance(node.target, torch._ops.OpOverload) else name
