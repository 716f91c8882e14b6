"""The operators of one forward pass as plain data: what a compiled plan is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from mpsearch.errors import ConfigError
from mpsearch.models.layer_shape import Extra, LayerShape

NodeKind = Literal["input", "layer", "affine", "clamp", "add", "max_pool", "avg_pool", "subsample", "flatten"]
NODE_KINDS: tuple[str, ...] = get_args(NodeKind)
Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator and the value that it yields.

    `size` is (height, width, channels) of the value for one image; (1, L, C) for a sequence, (1, 1, C)
    for features.

    input      the model's one input
    layer      a call of the quantizable layer `layer`, of shape `shape`
    affine     y = x * multiplier[c] + offset[c]: the BatchNorm `module` in eval mode
    clamp      y = min(high, max(low, x)); None is no bound, so ReLU is (0, None)
    add        y = a + b, of equal size
    max_pool   `kernel`, `stride`, `padding`; padding never wins
    avg_pool   `kernel`, `stride`, `padding`; padding counts as zeros in the mean
    subsample  every `stride`-th pixel, then zeros as channels: `channels_before` of them, the rest after
    flatten    (H, W, C) -> (1, 1, C * H * W), in the order (C, H, W)

    Raises: ConfigError if the fields do not fit the kind.
    """

    name: str
    kind: NodeKind
    inputs: tuple[str, ...]
    size: Size
    layer: str = ""
    shape: LayerShape | None = None
    module: str = ""
    low: float | None = None
    high: float | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    channels_before: int = 0

    def __post_init__(self) -> None:
        if self.kind not in NODE_KINDS:
            raise ConfigError(f"`kind` of a node must be one of {', '.join(NODE_KINDS)}; got {self.kind!r}.")
        wanted = {"input": 0, "add": 2}.get(self.kind, 1)
        if len(self.inputs) != wanted:
            raise ConfigError(f"A node {self.kind!r} takes {wanted} inputs; got {list(self.inputs)}.")
        sizes = (*self.size, *self.kernel, *self.stride, *(part + 1 for part in self.padding))
        if any(type(size) is not int or size < 1 for size in sizes) or self.channels_before < 0:
            raise ConfigError(f"Sizes of a node must be positive whole numbers; got {asdict(self)}.")
        if (self.kind == "layer") != (self.shape is not None and self.layer != ""):
            raise ConfigError(f"A layer node, and no other, has a layer and a shape; got {asdict(self)}.")
        if (self.kind == "affine") != (self.module != ""):
            raise ConfigError(f"An affine node, and no other, has a module; got {asdict(self)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGraph:
    """Nodes in an order of execution, the first of them the input; `output` names the one returned.

    `input_rank`: 4 for images (N, C, H, W), 3 for sequences (N, C, L), 2 for features (N, C);
    `output_rank` likewise.

    Raises: ConfigError if names repeat, a node reads what comes later, sizes do not fit, or flattened images
        of several pixels reach another node than `flattened_sizes` tells.
    """

    nodes: tuple[Node, ...]
    output: str
    input_rank: int
    output_rank: int

    def __post_init__(self) -> None:
        known: dict[str, Node] = {}
        for place, node in enumerate(self.nodes):
            if (node.kind == "input") != (place == 0):
                raise ConfigError(f"A graph has one input, its first node; got {node.kind!r} at {place}.")
            missing = [name for name in node.inputs if name not in known]
            if missing or node.name in known:
                raise ConfigError(
                    f"Nodes must have names of their own and read earlier ones; {node.name!r} reads "
                    f"{list(node.inputs)}."
                )
            expected = _size_after(node, [known[name].size for name in node.inputs])
            if node.size != expected:
                raise ConfigError(f"Node {node.name!r} must have size {expected}; got {node.size}.")
            known[node.name] = node
        if self.output not in known:
            raise ConfigError(f"`output` must name a node; got {self.output!r}.")
        if self.input_rank not in (2, 3, 4) or self.output_rank not in (2, 3, 4):
            raise ConfigError(f"Ranks must be 2, 3 or 4; got {self.input_rank} and {self.output_rank}.")
        if self.flattened_sizes()[self.output] is not None and self.output_rank != 2:
            raise ConfigError(
                f"The features of a flattened image must be returned as (N, C); got rank {self.output_rank}."
            )

    def flattened_sizes(self) -> dict[str, Size | None]:
        """Node -> the (H, W, C) of the image that its features are, where that has several pixels; else None.

        A plan keeps such features in the order (H, W, C), not in PyTorch's (C, H, W). They reach linear
        layers, affines, clamps, additions of features in the same order, and further flattening.

        Raises: ConfigError if they reach anything else.
        """
        found: dict[str, Size | None] = {}
        for node in self.nodes:
            orders = [found[name] for name in node.inputs]
            order = orders[0] if orders else None
            if node.kind == "flatten" and self.node(node.inputs[0]).size[:2] != (1, 1):
                order = self.node(node.inputs[0]).size
            elif node.shape is not None and node.shape.operator == "linear":
                order = None
            elif any(orders) and (
                node.kind not in ("affine", "clamp", "add", "flatten") or any(o != order for o in orders)
            ):
                raise ConfigError(
                    "The features of a flattened image may be read by linear layers, affines, clamps and "
                    f"additions of features like them; got {node.kind} {node.name!r}."
                )
            found[node.name] = order
        return found

    def node(self, name: str) -> Node:
        """Raises: ConfigError if there is no such node."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise ConfigError(f"The graph has no node {name!r}.")

    def with_extras(self, extras: Mapping[str, tuple[Extra, ...]]) -> ModelGraph:
        """The graph whose named layers compute that beside their schemes."""
        nodes = tuple(
            replace(node, shape=replace(node.shape, extras=extras[node.layer]))
            if node.shape is not None and node.layer in extras
            else node
            for node in self.nodes
        )
        return replace(self, nodes=nodes)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        nodes = [
            {**asdict(node), "shape": None if node.shape is None else node.shape.to_dict()}
            for node in self.nodes
        ]
        return {
            "nodes": nodes,
            "output": self.output,
            "input_rank": self.input_rank,
            "output_rank": self.output_rank,
        }

    @classmethod
    def from_dict(cls, fields: Any) -> ModelGraph:
        """Raises: ConfigError if it is not what `to_dict` writes."""
        try:
            nodes = tuple(_node_from(node) for node in fields["nodes"])
            return cls(**{**fields, "nodes": nodes})
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"Not a model graph ({error!r:.200}): {fields!r:.200}.") from error


def _node_from(fields: dict[str, Any]) -> Node:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }
    if values["shape"] is not None:
        values["shape"] = LayerShape.from_dict(values["shape"])
    return Node(**values)


def _size_after(node: Node, sizes: list[Size]) -> Size:
    """The size that the node must have, given those of its inputs."""
    if node.kind == "input":
        return node.size
    height, width, channels = sizes[0]
    if node.kind == "layer" and node.shape is not None:
        if (*node.shape.spatial, node.shape.in_channels) != sizes[0]:
            raise ConfigError(f"Layer {node.layer!r} takes {node.shape}; its input has size {sizes[0]}.")
        return (*node.shape.out_spatial, node.shape.out_channels)
    if node.kind in ("max_pool", "avg_pool"):
        down, across = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                (height, width), node.padding, node.kernel, node.stride, strict=True
            )
        )
        return down, across, channels
    if node.kind == "subsample":
        if node.size[2] < channels + node.channels_before:
            raise ConfigError(f"Node {node.name!r} must keep {channels} channels; got {node.size[2]}.")
        return math.ceil(height / node.stride[0]), math.ceil(width / node.stride[1]), node.size[2]
    if node.kind == "flatten":
        return 1, 1, height * width * channels
    if node.kind == "add" and sizes[1] != sizes[0]:
        raise ConfigError(f"Node {node.name!r} must add equal sizes; got {sizes[0]} and {sizes[1]}.")
    return sizes[0]
