"""What a graph refuses, and the order in which it keeps flattened images."""

import pytest

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape


def node(name, kind, inputs, size, **fields):
    return Node(name=name, kind=kind, inputs=tuple(inputs), size=size, **fields)


def linear(name, source, inputs, outputs):
    shape = LayerShape(operator="linear", batch=1, in_channels=inputs, out_channels=outputs)
    return node(name, "layer", [source], (1, 1, outputs), layer=name, shape=shape)


def graph(*nodes, rank=4):
    return ModelGraph(nodes=nodes, output=nodes[-1].name, input_rank=rank, output_rank=2)


X = node("x", "input", [], (2, 3, 4))
FLAT = node("flat", "flatten", ["x"], (1, 1, 24))


def test_flattened_features_keep_their_order_up_to_a_linear_layer():
    found = graph(
        X,
        FLAT,
        node("norm", "affine", ["flat"], (1, 1, 24), module="norm"),
        node("relu", "clamp", ["norm"], (1, 1, 24), low=0.0),
        node("sum", "add", ["relu", "flat"], (1, 1, 24)),
        node("again", "flatten", ["sum"], (1, 1, 24)),
        linear("fc", "again", 24, 5),
    ).flattened_sizes()
    assert found == {
        "x": None,
        **dict.fromkeys(("flat", "norm", "relu", "sum", "again"), (2, 3, 4)),
        "fc": None,
    }


def test_flattening_one_pixel_changes_no_order():
    one = node("x", "input", [], (1, 1, 4))
    assert graph(one, node("flat", "flatten", ["x"], (1, 1, 4))).flattened_sizes()["flat"] is None


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([linear("fc", "flat", 24, 24), node("sum", "add", ["fc", "flat"], (1, 1, 24))], "add 'sum'"),
        ([linear("fc", "flat", 24, 24), node("sum", "add", ["flat", "fc"], (1, 1, 24))], "add 'sum'"),
        ([node("pad", "subsample", ["flat"], (1, 1, 30), channels_before=2)], "subsample 'pad'"),
        ([node("pool", "max_pool", ["flat"], (1, 1, 24))], "max_pool 'pool'"),
    ],
)
def test_flattened_features_reach_no_operator_that_would_mix_two_orders(nodes, message):
    with pytest.raises(ConfigError, match=f"features of a flattened image.*{message}"):
        graph(X, FLAT, *nodes)
