"""Steps of a compiled plan."""

from __future__ import annotations

import pytest

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.compile import compile_plan
from mpsearch.plan.fusion import fuse
from mpsearch.plan.step import Outputs, StepShape
from mpsearch.precision.scheme import SCHEMES


def conv(name: str, source: str, *, inputs: int = 8, outputs: int = 8, groups: int = 1) -> Node:
    shape = LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=inputs,
        out_channels=outputs,
        spatial=(4, 4),
        kernel=(3, 3),
        padding=(1, 1),
        groups=groups,
    )
    return Node(name=name, kind="layer", inputs=(source,), size=(4, 4, outputs), layer=name, shape=shape)


def affine(name: str, source: str, channels: int = 8) -> Node:
    return Node(name=name, kind="affine", inputs=(source,), size=(4, 4, channels), module=name)


def relu(name: str, source: str, channels: int = 8) -> Node:
    return Node(name=name, kind="clamp", inputs=(source,), size=(4, 4, channels), low=0.0)


def residual_graph() -> ModelGraph:
    """stem - bn - relu - [conv1 - bn - relu - conv2 - bn] + [down - bn] - relu - pool - fc."""
    nodes = (
        Node(name="x", kind="input", inputs=(), size=(4, 4, 3)),
        conv("stem", "x", inputs=3),
        affine("stem_bn", "stem"),
        relu("stem_relu", "stem_bn"),
        conv("conv1", "stem_relu"),
        affine("bn1", "conv1"),
        relu("relu1", "bn1"),
        conv("conv2", "relu1"),
        affine("bn2", "conv2"),
        conv("down", "stem_relu"),
        affine("down_bn", "down"),
        Node(name="sum", kind="add", inputs=("bn2", "down_bn"), size=(4, 4, 8)),
        relu("out", "sum"),
        Node(name="pool", kind="avg_pool", inputs=("out",), size=(1, 1, 8), kernel=(4, 4), stride=(4, 4)),
        Node(name="flat", kind="flatten", inputs=("pool",), size=(1, 1, 8)),
        Node(
            name="fc",
            kind="layer",
            inputs=("flat",),
            size=(1, 1, 2),
            layer="fc",
            shape=LayerShape(operator="linear", batch=1, in_channels=8, out_channels=2),
        ),
    )
    return ModelGraph(nodes=nodes, output="fc", input_rank=4, output_rank=2)


def steps_of(graph: ModelGraph, **schemes: str):
    layers = {node.layer: SCHEMES["w8a8"] for node in graph.nodes if node.kind == "layer"}
    return compile_plan(
        fuse(graph), layers | {name: SCHEMES[scheme] for name, scheme in schemes.items()}, batch=1
    )


def test_batch_norm_relu_and_addition_run_in_the_layer_before_them() -> None:
    steps = steps_of(residual_graph())
    assert [(step.shape.kind, step.group.name) for step in steps] == [
        ("load", "x"),
        ("elementwise", "stem_relu"),
        ("layer", "stem_relu"),
        ("layer", "relu1"),
        ("layer", "down_bn"),
        ("layer", "out"),
        ("avg_pool", "flat"),
        ("layer", "fc"),
        ("store", "fc"),
    ]
    join = steps[5]
    assert join.group.residual == "down_bn"
    assert join.group.affine == "bn2"
    assert join.shape.residual


def test_a_value_is_written_in_just_the_formats_that_its_readers_take() -> None:
    steps = {step.group.name: step for step in steps_of(residual_graph(), conv1="w1a1", conv2="w1a1")}
    assert steps["stem_relu"].shape.outputs == Outputs(byte_images=1, bit_images=1)
    assert steps["stem_relu"].images == ("relu1", "down_bn")
    assert steps["relu1"].shape.outputs == Outputs(bit_images=1)
    assert steps["out"].shape.outputs == Outputs(float32=True)
    assert steps["flat"].shape.outputs == Outputs(byte_images=1)


def test_a_32_bit_layer_is_a_torch_call_and_its_epilogue_a_step_after_it() -> None:
    steps = [step for step in steps_of(residual_graph(), conv2="w32a32") if step.group.name == "out"]
    assert [step.shape.kind for step in steps] == ["float_layer", "elementwise"]
    assert not steps[0].writes_value
    assert steps[1].source == "out"
    assert steps[1].has_epilogue
    before = {step.group.name: step for step in steps_of(residual_graph(), conv2="w32a32")}["relu1"]
    assert before.shape.outputs == Outputs(float32=True)


def test_grouped_layers_take_and_give_float32() -> None:
    nodes = (
        Node(name="x", kind="input", inputs=(), size=(4, 4, 8)),
        conv("a", "x"),
        conv("b", "a", groups=2),
        conv("c", "b"),
    )
    steps = steps_of(ModelGraph(nodes=nodes, output="c", input_rank=4, output_rank=4))
    kinds = [(step.shape.kind, step.group.name, step.images) for step in steps]
    assert kinds == [
        ("load", "x", ()),
        ("elementwise", "a", ("a",)),
        ("layer", "a", ()),
        ("elementwise", "b", ("b",)),
        ("layer", "b", ()),
        ("elementwise", "c", ("c",)),
        ("layer", "c", ()),
        ("store", "c", ()),
    ]


def test_an_addition_of_a_value_to_itself_waits_for_nothing() -> None:
    nodes = (
        Node(name="x", kind="input", inputs=(), size=(4, 4, 8)),
        relu("r", "x"),
        Node(name="sum", kind="add", inputs=("r", "r"), size=(4, 4, 8)),
    )
    steps = steps_of(ModelGraph(nodes=nodes, output="sum", input_rank=4, output_rank=4))
    assert [(step.shape.kind, step.source) for step in steps] == [
        ("load", None),
        ("elementwise", "x"),
        ("elementwise", "r"),
        ("store", "sum"),
    ]


def test_a_graph_survives_json_and_refuses_what_does_not_fit() -> None:
    graph = residual_graph()
    assert ModelGraph.from_dict(graph.to_dict()) == graph
    with pytest.raises(ConfigError, match="read earlier ones"):
        ModelGraph(nodes=(graph.nodes[0], relu("r", "nowhere")), output="r", input_rank=4, output_rank=4)
    with pytest.raises(ConfigError, match="must have size"):
        ModelGraph(nodes=(graph.nodes[0], relu("r", "x", 5)), output="r", input_rank=4, output_rank=4)


def test_a_step_survives_json() -> None:
    for step in steps_of(residual_graph(), conv1="w1a1", conv2="w32a32"):
        assert StepShape.from_dict(step.shape.to_dict()) == step.shape
