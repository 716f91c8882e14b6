"""Tables of steps: of every combination of schemes the very steps that the compiler makes."""

from itertools import product

import pytest

from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.compile import group_steps
from mpsearch.plan.fusion import fuse
from mpsearch.plan.group_table import group_tables
from mpsearch.precision.scheme import SCHEMES


def linear(name, source, layer=None):
    shape = LayerShape(operator="linear", batch=1, in_channels=8, out_channels=8)
    return Node(name=name, kind="layer", inputs=(source,), size=(1, 1, 8), layer=layer or name, shape=shape)


@pytest.fixture
def fused():
    """One value with three readers, two of them the same layer; a layer that reads itself."""
    nodes = (
        Node(name="x", kind="input", inputs=(), size=(1, 1, 8)),
        Node(name="relu", kind="clamp", inputs=("x",), size=(1, 1, 8), low=0.0),
        linear("a", "relu"),
        linear("b1", "relu", "b"),
        linear("b2", "relu", "b"),
        Node(name="sum", kind="add", inputs=("b1", "b2"), size=(1, 1, 8)),
        linear("c1", "sum", "c"),
        linear("c2", "c1", "c"),
        Node(name="out", kind="add", inputs=("a", "c2"), size=(1, 1, 8)),
    )
    return fuse(ModelGraph(nodes=nodes, output="out", input_rank=2, output_rank=2))


def test_each_entry_holds_the_steps_that_the_compiler_makes(fused):
    schemes = [SCHEMES[name] for name in ("w1a1", "w4a8", "w32a32")]
    allowed = {"a": schemes, "b": schemes[:2], "c": schemes}
    tables = group_tables(fused, allowed, batch=2)
    for choice in product(*allowed.values()):
        policy = dict(zip(allowed, choice, strict=True))
        for group, table in zip(fused.groups, tables, strict=True):
            entry = table.entry(policy, allowed)
            assert entry < table.entries
            made = group_steps(fused, group, policy, batch=2)
            assert [step.shape for step in table.steps[entry]] == [step.shape for step in made]


def test_examples_lead_to_their_entries(fused):
    allowed = dict.fromkeys("abc", tuple(SCHEMES.values()))
    for table in group_tables(fused, allowed, batch=1):
        for entry, example in table.examples.items():
            assert table.entry(example, allowed) == entry


def test_a_table_grows_with_the_readers_and_not_with_their_combinations():
    readers = 12
    shape = LayerShape(operator="linear", batch=1, in_channels=8, out_channels=8)
    names = [f"l{i}" for i in range(readers)]
    nodes = [Node(name="x", kind="input", inputs=(), size=(1, 1, 8))]
    nodes.append(Node(name="relu", kind="clamp", inputs=("x",), size=(1, 1, 8), low=0.0))
    nodes += [
        Node(name=name, kind="layer", inputs=("relu",), size=(1, 1, 8), layer=name, shape=shape)
        for name in names
    ]
    fused = fuse(ModelGraph(nodes=tuple(nodes), output="l11", input_rank=2, output_rank=2))
    allowed = dict.fromkeys(names, tuple(SCHEMES.values()))
    table = next(t for t in group_tables(fused, allowed, batch=1) if t.group.name == "relu")
    assert len(table.steps) == (readers + 1) * (readers + 2) // 2
