"""Laws of fusion and of plans, on random graphs under random policies."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.compile import Step, compile_plan, group_steps
from mpsearch.plan.fusion import FusedGraph, fuse
from mpsearch.precision.scheme import SCHEMES, Scheme

LAWS = settings(max_examples=150, deadline=None, derandomize=True)
KINDS = ("layer",) * 5 + ("affine", "clamp", "add") * 2 + ("flatten", "max_pool", "avg_pool", "subsample")
GROUPS = {"conv": (1, 4), "depthwise": (4, 4), "grouped": (2, 4), "widened": (4, 8)}  # groups, channels out


def conv(name: str, source: Node, groups: int, channels: int) -> Node:
    height, width, before = source.size
    shape = LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=before,
        out_channels=channels,
        spatial=(height, width),
        kernel=(3, 3),
        padding=(1, 1),
        groups=groups,
    )
    size = (height, width, channels)
    return Node(name=name, kind="layer", inputs=(source.name,), size=size, layer=name, shape=shape)


def linear(name: str, source: Node) -> Node:
    shape = LayerShape(operator="linear", batch=1, in_channels=source.size[2], out_channels=4)
    return Node(name=name, kind="layer", inputs=(source.name,), size=(1, 1, 4), layer=name, shape=shape)


def candidates(name: str, source: Node, nodes: list[Node]) -> list[Node]:
    """Nodes of that name that could read the source, of every kind."""
    height, width, channels = source.size
    one = {"name": name, "inputs": (source.name,), "size": source.size}
    made = [Node(**one, kind="affine", module=name), Node(**one, kind="clamp", low=0.0)]
    made += [
        Node(name=name, kind="add", inputs=(source.name, other.name), size=source.size)
        for other in nodes
        if other.size == source.size
    ]
    made += [
        Node(**one | {"size": other.size}, kind="layer", layer=other.layer, shape=other.shape)
        for other in nodes  # the same layer once more
        if other.shape is not None and (*other.shape.spatial, other.shape.in_channels) == source.size
    ]
    made.append(Node(**one | {"size": (1, 1, height * width * channels)}, kind="flatten"))
    if height == width == 1:
        made += [linear(name, source)] * 2
    else:
        made += [conv(name, source, *sizes) for sizes in GROUPS.values() if channels % sizes[0] == 0]
    if height > 1:
        half = one | {"size": (height // 2, width // 2, channels), "stride": (2, 2)}
        made += [Node(**half, kind=kind, kernel=(2, 2)) for kind in ("max_pool", "avg_pool")]
        made.append(Node(**half, kind="subsample"))
    return [node for node in made if is_legal([*nodes, node])]


@st.composite
def graphs(draw) -> ModelGraph:
    nodes = [Node(name="x", kind="input", inputs=(), size=(4, 4, draw(st.sampled_from([1, 4]))))]
    for place in range(draw(st.integers(1, 14))):
        # Near the end more often than not: deep graphs have longer chains to fuse.
        back = min(draw(st.integers(1, len(nodes))), draw(st.integers(1, 3)))
        fitting = candidates(f"n{place}", nodes[-back], nodes)
        kinds = {node.kind for node in fitting}
        kind = draw(st.sampled_from([kind for kind in KINDS if kind in kinds]))
        node = draw(st.sampled_from([node for node in fitting if node.kind == kind]))
        nodes.append(replace(node, inputs=tuple(draw(st.permutations(node.inputs)))))
    read = {name for node in nodes for name in node.inputs}
    for leaf in [node for node in nodes[:-1] if node.name not in read and node.size == nodes[-1].size]:
        inputs = (nodes[-1].name, leaf.name)
        join = Node(name=f"sum{len(nodes)}", kind="add", inputs=inputs, size=leaf.size)
        nodes += [join] if is_legal([*nodes, join]) else []
    needed = {nodes[-1].name}
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    kept = tuple(node for node in nodes if node.name in needed)
    rank = 2 if nodes[-1].size[:2] == (1, 1) else 4
    return ModelGraph(nodes=kept, output=nodes[-1].name, input_rank=4, output_rank=rank)


def is_legal(nodes: list[Node]) -> bool:
    """Features of a flattened image may not be read by all kinds of nodes."""
    try:
        ModelGraph(nodes=tuple(nodes), output=nodes[0].name, input_rank=4, output_rank=4)
    except ConfigError:
        return False
    return True


def layers_of(graph: ModelGraph) -> list[str]:
    return list(dict.fromkeys(node.layer for node in graph.nodes if node.layer))


def policies(graph: ModelGraph) -> st.SearchStrategy[dict[str, Scheme]]:
    schemes = st.sampled_from(list(SCHEMES.values()))
    return st.fixed_dictionaries(dict.fromkeys(layers_of(graph), schemes))


class Terms:
    """A number for each expression, the same for equal ones."""

    def __init__(self) -> None:
        self.numbers: dict[tuple, int] = {}

    def of(self, *parts) -> int:
        return self.numbers.setdefault(parts, len(self.numbers))

    def affine(self, x: int, module: str) -> int:
        return self.of("affine", module, x)

    def clamp(self, x: int, low: float | None, high: float | None) -> int:
        return self.of("clamp", low, high, x)

    def add(self, a: int, b: int) -> int:
        return self.of("add", min(a, b), max(a, b))

    def head(self, node: Node, x: int | None) -> int:
        return self.of(node.kind, node.layer, node.kernel, node.stride, x)


def meaning(graph: ModelGraph, terms: Terms) -> int:
    """What the graph says that its output is."""
    values: dict[str, int] = {}
    sizes = {node.name: node.size for node in graph.nodes}
    for node in graph.nodes:
        x = [values[name] for name in node.inputs]
        if node.kind == "affine":
            values[node.name] = terms.affine(*x, node.module)
        elif node.kind == "clamp":
            values[node.name] = terms.clamp(*x, node.low, node.high)
        elif node.kind == "add":
            values[node.name] = terms.add(*x)
        elif node.kind == "flatten" and node.size == sizes[node.inputs[0]]:
            values[node.name] = x[0]
        else:
            values[node.name] = terms.head(node, x[0] if x else None)
    return values[graph.output]


class Machine:
    """Runs steps on expressions, and refuses what a runtime could not do."""

    def __init__(self, fused: FusedGraph, terms: Terms) -> None:
        self.fused, self.terms = fused, terms
        self.values: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self.torch_results: dict[str, int] = {}
        self.used: set[str] = set()
        self.output: int | None = None

    def value(self, name: str) -> int:
        """A value that was written; flattening is another name for it, and has no step."""
        group = self.fused.group(name)
        if group.head.kind == "flatten":
            source = self.value(group.source)
            same = group.head.size == self.fused.group(group.source).size
            return source if same else self.terms.head(group.head, source)
        return self.values[name]

    def run(self, step: Step) -> None:
        group, kind = step.group, step.shape.kind
        if kind == "store":
            assert self.output is None
            self.output = self.value(step.source)
            return
        if step.images == (group.name,):  # the layer's own image, by a step of its own
            assert not step.writes_value
            assert not step.has_epilogue
            self.fill(group.name, self.value(step.source))
            return
        result = self.computed(step)
        if step.has_epilogue:
            result = self.epilogue(group, result)
        if kind == "float_layer" and not step.writes_value:
            self.torch_results[group.name] = result
            return
        if step.writes_value:
            assert group.name not in self.values
            self.values[group.name] = result
        for reader in step.images:
            assert self.fused.group(reader).source == group.name
            taker = self.fused.group(reader).head.shape
            assert taker.groups in (1, taker.out_channels)
            assert group.head.shape is None or group.head.shape.groups in (1, group.head.shape.in_channels)
            self.fill(reader, result)

    def computed(self, step: Step) -> int:
        group, kind = step.group, step.shape.kind
        if kind == "layer":
            assert step.source is None
            self.used.add(group.name)
            return self.terms.head(group.head, self.images[group.name])
        if kind == "elementwise":
            of_torch = step.source == group.name
            return self.torch_results.pop(group.name) if of_torch else self.value(step.source)
        return self.terms.head(group.head, None if step.source is None else self.value(step.source))

    def epilogue(self, group, result: int) -> int:
        if group.affine is not None:
            result = self.terms.affine(result, group.affine)
        if group.residual is not None:
            result = self.terms.add(result, self.value(group.residual))
        if group.low is not None or group.high is not None:
            result = self.terms.clamp(result, group.low, group.high)
        return result

    def fill(self, layer: str, term: int) -> None:
        assert layer not in self.images
        assert layer not in self.used
        self.images[layer] = term


@LAWS
@given(st.data())
def test_a_plan_computes_what_the_graph_says_from_values_written_before_and_images_filled_once(data):
    graph = data.draw(graphs())
    schemes = data.draw(policies(graph))
    fused, terms = fuse(graph), Terms()
    machine = Machine(fused, terms)
    for step in compile_plan(fused, schemes, batch=2):
        machine.run(step)
    assert machine.output == meaning(graph, terms)
    packed = {
        group.name
        for group in fused.groups
        if group.layer is not None and not schemes[group.layer].is_full_precision
    }
    assert machine.used == set(machine.images) == packed
    assert not machine.torch_results


@LAWS
@given(graphs())
def test_each_node_is_in_one_group_and_each_group_runs_after_what_it_reads(graph):
    fused = fuse(graph)
    done: set[str] = set()
    for group in fused.groups:
        assert {group.source, group.residual} - {None} <= done
        done.add(group.name)
    assert len(done) == len(fused.groups)
    assert fused.output in done
    for kind, held in (
        ("layer", [group.head.name for group in fused.groups if group.layer is not None]),
        ("affine", [group.affine for group in fused.groups if group.affine is not None]),
        ("add", [group.residual for group in fused.groups if group.residual is not None]),
    ):
        assert len(held) == sum(node.kind == kind for node in graph.nodes)


@LAWS
@given(graphs())
def test_readers_are_the_layers_that_take_the_value_and_the_rest_read_it_as_float(graph):
    fused = fuse(graph)
    for group in fused.groups:
        takers = [other for other in fused.groups if other.source == group.name]
        layers = tuple(other.name for other in takers if other.layer is not None)
        residual = any(other.residual == group.name for other in fused.groups)
        assert group.readers == layers
        assert group.is_read_as_float == (residual or group.name == fused.output or len(takers) > len(layers))


@LAWS
@given(st.data())
def test_the_steps_of_a_group_depend_on_its_scheme_and_its_readers_schemes_alone(data):
    graph = data.draw(graphs())
    fused = fuse(graph)
    first, second = data.draw(policies(graph)), data.draw(policies(graph))
    for group in fused.groups:
        near = {group.layer, *(fused.group(reader).layer for reader in group.readers)}
        mixed = {layer: (first if layer in near else second)[layer] for layer in first}
        assert group_steps(fused, group, first, batch=1) == group_steps(fused, group, mixed, batch=1)


@LAWS
@given(st.data())
def test_sizes_agree_from_step_to_step(data):
    graph = data.draw(graphs())
    fused = fuse(graph)
    for step in compile_plan(fused, data.draw(policies(graph)), batch=3):
        assert step.shape.batch == 3
        if step.source is not None and step.source != step.group.name:
            assert step.shape.size == fused.group(step.source).size
        if step.shape.kind != "store" and step.images != (step.group.name,):
            assert step.shape.out_size == step.group.size
        assert step.shape.outputs.images == len(step.images)
