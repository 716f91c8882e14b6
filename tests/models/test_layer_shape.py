import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.models.layer_shape import LayerShape


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 2, 4]))
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    return LayerShape(
        operator="conv2d",
        batch=draw(st.integers(1, 3)),
        in_channels=4 * draw(st.integers(1, 3)),
        out_channels=4 * draw(st.integers(1, 3)),
        spatial=(draw(st.integers(9, 14)), draw(st.integers(9, 14))),
        kernel=kernel,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        dilation=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        groups=groups,
    )


@settings(deadline=None, max_examples=50)
@given(convolutions())
def test_sizes_are_those_of_the_torch_layer(shape):
    layer = torch.nn.Conv2d(
        shape.in_channels,
        shape.out_channels,
        shape.kernel,
        shape.stride,
        shape.padding,
        shape.dilation,
        shape.groups,
    )
    output = layer(torch.zeros(shape.batch, shape.in_channels, *shape.spatial))
    assert tuple(output.shape[2:]) == shape.out_spatial
    assert output.numel() == shape.output_count
    assert layer.weight.numel() == shape.weight_count
    assert shape.macs == output.numel() * layer.weight[0].numel()


@given(convolutions())
def test_a_shape_survives_the_trip_through_a_dict(shape):
    assert LayerShape.from_dict(shape.to_dict()) == shape


def test_a_depthwise_convolution_is_recognised():
    shape = LayerShape(operator="conv2d", batch=1, in_channels=8, out_channels=16, spatial=(4, 4), groups=8)
    assert shape.kind == "depthwise_conv2d"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operator": "pool"}, "`operator` must be one of"),
        ({"batch": 0}, "must be positive"),
        ({"batch": 1.5}, "must be positive whole"),
        ({"padding": (-1, 0)}, "must be positive"),
        ({"groups": 3}, "`groups` must divide"),
        ({"kernel": (9, 1)}, "must fit the padded input"),
    ],
)
def test_impossible_sizes_are_rejected(change, message):
    sizes = {
        "operator": "conv2d",
        "batch": 1,
        "in_channels": 4,
        "out_channels": 4,
        "spatial": (4, 4),
    } | change
    with pytest.raises(ConfigError, match=message):
        LayerShape(**sizes)


@pytest.mark.parametrize(
    "fields", [{}, {"operator": "linear"}, {"weird": 1}, {"operator": "linear", "batch": "x"}]
)
def test_a_dict_that_is_no_shape_is_rejected(fields):
    with pytest.raises(ConfigError):
        LayerShape.from_dict(fields)
