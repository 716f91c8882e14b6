"""Packed files hold the scales of layers that compute more than their scheme says, and no byte more."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mpsearch.cost.memory import layer_memory_bytes
from mpsearch.errors import FormatError
from mpsearch.export.manifest import LayerGeometry
from mpsearch.export.packed_bytes import PackedBytes, packed_bytes
from mpsearch.export.packed_file import geometry_of
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.freeze import freeze_model
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.quant.swap import calibrate, quantize_model

CHOICES = {
    "ttq and per_token": QuantizerChoice(ternary="ttq", activation="per_token"),
    "ttq and ternary": QuantizerChoice(ternary="ttq", activation="ternary_threshold"),
    "xnor": QuantizerChoice(binary_activation="xnor"),
}
LOW = [name for name in SCHEMES if name != "w32a32"]


@pytest.fixture(params=CHOICES)
def packed(request):
    """Frozen layers at all schemes, and what the cost model claims for them."""
    choice = CHOICES[request.param]
    torch.manual_seed(0)
    model, x = DigitsCnn(), torch.randn(4, 1, 8, 8)
    trace = trace_model(model, (x[:1],)).with_extras(choice.extras)
    claimed, layers = 0, {}
    for scheme in LOW:
        fake = quantize_model(model, PrecisionPolicy.uniform([t.name for t in trace.layers], scheme), choice)
        calibrate(fake, [x])
        for name, layer in freeze_model(fake).items():
            layers[f"{name} at {scheme}"] = layer
            call = trace.layer(name).calls[0]
            claimed += layer_memory_bytes(
                weight_count=call.weight_count,
                in_channels=call.in_channels,
                out_channels=call.out_channels,
                has_bias=call.has_bias,
                scheme=SCHEMES[scheme],
                extras=call.at(SCHEMES[scheme]).extras,
            )
    return layers, claimed


def test_the_bytes_are_those_that_the_cost_model_claims(packed):
    layers, claimed = packed
    assert len(packed_bytes(layers, {})) == claimed


def test_what_is_written_is_what_is_read(packed):
    layers, _ = packed
    reader = PackedBytes(packed_bytes(layers, {}), Path("weights.bin"))
    for name in sorted(layers):
        layer = layers[name]
        geometry = LayerGeometry.from_dict(as_json(geometry_of(layer).to_dict()), Path("manifest.json"))
        read = reader.layer(name, geometry, layer.scheme)
        assert read.extras == layer.extras
        assert read.activation.ternary_step == layer.activation.ternary_step
        for field in ("weight", "weight_scale", "negative_scale", "bias"):
            np.testing.assert_array_equal(getattr(read, field), getattr(layer, field))
    reader.end()


def test_a_plain_layer_is_described_as_ever_and_unknown_extras_are_refused(packed):
    layers, _ = packed
    for layer in layers.values():
        fields = as_json(geometry_of(layer).to_dict())
        assert ("extras" in fields) == bool(layer.extras)
        with pytest.raises(FormatError, match="extras"):
            LayerGeometry.from_dict({**fields, "extras": ["three_scales"]}, Path("manifest.json"))


def as_json(fields):
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
