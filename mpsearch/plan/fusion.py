"""Operators that run as one step: a head, and what follows it in its epilogue."""

from __future__ import annotations

from dataclasses import dataclass, field

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph, Node, Size
from mpsearch.models.layer_shape import LayerShape

# The order in which an epilogue computes; a group may leave stages out but not go back.
_STAGES = {"affine": 1, "add": 2, "clamp": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A head and its epilogue: y = clamp(affine(head(source)) + residual, low, high).

    `name` is the last node's: the value that others read, of size `size`. `head` is the node that computes;
    a group that starts with an affine, a clamp or an addition has no work before its epilogue and `kind`
    "elementwise".
    `source` and `residual` name groups. `readers`: the layer groups that read the value as their input, in
    order of execution. `is_read_as_float`: someone else needs it as float32, or it is the model's output.
    """

    name: str
    kind: str
    size: Size
    head: Node
    source: str | None
    affine: str | None
    residual: str | None
    low: float | None
    high: float | None
    readers: tuple[str, ...]
    is_read_as_float: bool

    @property
    def layer(self) -> str | None:
        """The layer that the group computes."""
        return self.head.layer or None

    @property
    def has_epilogue(self) -> bool:
        parts = (self.affine, self.residual, self.low, self.high)
        return any(part is not None for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedGraph:
    """Groups in an order of execution. `output` names a group; ranks as in `ModelGraph`."""

    groups: tuple[Group, ...]
    output: str
    input_rank: int
    output_rank: int
    _by_name: dict[str, Group] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {group.name: group for group in self.groups})

    def group(self, name: str) -> Group:
        """Raises: ConfigError if there is no such group."""
        found = self._by_name.get(name)
        if found is None:
            raise ConfigError(f"The plan has no value {name!r}.")
        return found


@dataclass(slots=True)
class _Draft:
    nodes: list[Node]
    source: str | None
    residual: str | None = None
    stage: int = 0

    @property
    def tail(self) -> str:
        return self.nodes[-1].name


def fuse(graph: ModelGraph) -> FusedGraph:
    """Put each affine, addition and clamp into the epilogue of the one operator that feeds it alone.

    Values that several nodes read end a group. Of the two operands of an addition, the one computed first
    takes the addition; the other is its residual and runs before it. A chain of nodes with one reader each
    leads nowhere but to its end, so no group can wait for itself.
    """
    followers: dict[str, list[Node]] = {node.name: [] for node in graph.nodes}
    for node in graph.nodes:
        for name in node.inputs:
            followers[name].append(node)
    drafts: list[_Draft] = []
    absorbed: set[str] = set()
    for node in graph.nodes:
        if node.name in absorbed:
            continue
        draft = _Draft(nodes=[node], source=node.inputs[0] if node.inputs else None)
        draft.stage = _STAGES.get(node.kind, 0)
        if node.kind == "add":
            draft.residual = node.inputs[1]
        _absorb(draft, followers, absorbed, graph.output)
        absorbed.update(node.name for node in draft.nodes)
        drafts.append(draft)
    return _ordered(drafts, graph)


def _absorb(draft: _Draft, followers: dict[str, list[Node]], absorbed: set[str], output: str) -> None:
    if draft.nodes[0].kind in ("input", "subsample", "flatten"):
        return
    while draft.tail != output and len(followers[draft.tail]) == 1:
        follower = followers[draft.tail][0]
        if follower.kind == "flatten" and follower.size == draft.nodes[-1].size:
            draft.nodes.append(follower)
            continue
        stage = _STAGES.get(follower.kind, 0)
        if stage <= draft.stage or follower.name in absorbed:
            return
        if follower.kind == "add":
            first, second = follower.inputs
            draft.residual = second if first == draft.tail else first
        draft.nodes.append(follower)
        draft.stage = stage


def _ordered(drafts: list[_Draft], graph: ModelGraph) -> FusedGraph:
    owner = {node.name: draft for draft in drafts for node in draft.nodes}

    def name_of(value: str | None) -> str | None:
        return None if value is None else owner[value].tail

    # Depth first from each draft in turn: a residual that comes later in the graph is pulled forward.
    order: list[_Draft] = []
    placed: set[str] = set()
    stack = [*reversed(drafts)]
    while stack:
        draft = stack[-1]
        waiting = [
            owner[value]
            for value in (draft.residual, draft.source)
            if value is not None and owner[value].tail not in placed
        ]
        if draft.tail in placed or not waiting:
            stack.pop()
            if draft.tail not in placed:
                placed.add(draft.tail)
                order.append(draft)
        else:
            stack.extend(waiting)

    layers: dict[str, list[str]] = {draft.tail: [] for draft in order}
    as_float = {name_of(graph.output)}
    for draft in order:
        source = name_of(draft.source)
        if source is not None and draft.nodes[0].kind == "layer":
            layers[source].append(draft.tail)
        else:
            as_float.add(source)
        as_float.add(name_of(draft.residual))
    groups = []
    for draft in order:
        head = draft.nodes[0]
        parts = {node.kind: node for node in draft.nodes}
        clamp = parts.get("clamp")
        groups.append(
            Group(
                name=draft.tail,
                kind="elementwise" if head.kind in _STAGES else head.kind,
                size=draft.nodes[-1].size,
                head=head,
                source=name_of(draft.source),
                affine=parts["affine"].module if "affine" in parts else None,
                residual=name_of(draft.residual),
                low=None if clamp is None else clamp.low,
                high=None if clamp is None else clamp.high,
                readers=tuple(layers[draft.tail]),
                is_read_as_float=draft.tail in as_float,
            )
        )
    output = name_of(graph.output)
    assert output is not None
    return FusedGraph(
        groups=tuple(groups),
        output=output,
        input_rank=graph.input_rank,
        output_rank=graph.output_rank,
    )


def writes_images(group: Group) -> bool:
    """Whether the group's step can write activation images: its channels come out side by side."""
    if group.kind in ("input", "subsample", "flatten"):
        return False
    return group.head.shape is None or _is_plain(group.head.shape)


def takes_image(shape: LayerShape) -> bool:
    """Whether a step can write this layer's activation image: its channels lie side by side, each once.

    `shape` is that at the layer's scheme: inputs with a scale of their own, or clipped to three values, are
    loaded as a whole.
    """
    if set(shape.extras) - {"two_scales"}:
        return False
    return _is_plain(shape) and (shape.groups == 1 or shape.out_channels == shape.in_channels)


def _is_plain(shape: LayerShape) -> bool:
    return shape.groups == 1 or shape.is_depthwise
