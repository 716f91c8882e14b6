"""What layers compute beside their schemes is part of their shapes."""

from dataclasses import replace

import pytest
import torch

from mpsearch.errors import ConfigError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.layer_shape import EXTRAS, LayerShape
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.quantizer_choice import STANDARD, QuantizerChoice

LINEAR = LayerShape(operator="linear", batch=1, in_channels=8, out_channels=4, extras=EXTRAS)
CONV = LayerShape(operator="conv2d", batch=1, in_channels=8, out_channels=4, spatial=(4, 4), extras=EXTRAS)


@pytest.mark.parametrize(
    ("scheme", "of_linear", "of_conv"),
    [
        ("w1a1", {"pixel_scale"}, {"pixel_scale"}),
        ("w1a8", {"token_scale", "ternary_input"}, {"ternary_input"}),
        ("w1.58a8", {"two_scales", "token_scale", "ternary_input"}, {"two_scales", "ternary_input"}),
        ("w8a8", {"token_scale", "ternary_input"}, {"ternary_input"}),
        ("w32a32", set(), set()),
    ],
)
def test_a_shape_at_a_scheme_keeps_the_extras_that_apply(scheme, of_linear, of_conv):
    assert set(LINEAR.at(SCHEMES[scheme]).extras) == of_linear
    assert set(CONV.at(SCHEMES[scheme]).extras) == of_conv


def test_a_shape_survives_a_file_and_one_without_extras_is_written_as_ever():
    plain = replace(LINEAR, extras=())
    assert LayerShape.from_dict(LINEAR.to_dict()) == LINEAR
    assert LayerShape.from_dict(plain.to_dict()) == plain
    assert "extras" not in plain.to_dict()
    with pytest.raises(ConfigError, match="extras"):
        LayerShape.from_dict({**plain.to_dict(), "extras": ["three_scales"]})


def test_a_trace_carries_them_into_calls_and_graph_and_keeps_its_fingerprint():
    trace = trace_model(DigitsCnn(), (torch.zeros(1, 1, 8, 8),))
    extended = trace.with_extras(("two_scales",))
    assert all(call.extras == ("two_scales",) for layer in extended.layers for call in layer.calls)
    shapes = [node.shape for node in extended.graph.nodes if node.shape is not None]
    assert all(shape.extras == ("two_scales",) for shape in shapes)
    assert extended.fingerprint == trace.fingerprint
    assert ModelTrace.from_dict(extended.to_dict()) == extended
    assert trace.with_extras(()) is trace


def test_a_choice_of_quantizers_tells_its_extras():
    assert STANDARD.extras == ()
    assert QuantizerChoice(ternary="ttq").extras == ("two_scales",)
    assert QuantizerChoice(activation="per_token").extras == ("token_scale",)
    assert QuantizerChoice(binary_activation="xnor").extras == ("pixel_scale",)
    for name in ("ternary", "ternary_threshold"):
        assert QuantizerChoice(activation=name).extras == ("ternary_input",)
