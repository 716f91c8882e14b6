"""A trace as plain data: through JSON and back, and what a damaged file says."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from mpsearch.errors import FormatError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model


@pytest.fixture(scope="module")
def trace() -> ModelTrace:
    return trace_model(DigitsCnn(), (torch.zeros(1, 1, 8, 8),))


def test_a_trace_survives_json(trace):
    assert ModelTrace.from_dict(json.loads(json.dumps(trace.to_dict()))) == trace


def test_a_trace_that_stays_in_torch_survives_json():
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    trace = trace_model(model, (torch.zeros(1, 4),))
    assert trace.eager_reasons == ("aten.gelu in 1",)
    assert ModelTrace.from_dict(json.loads(json.dumps(trace.to_dict()))) == trace


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("fingerprint",), 7),
        (("other_parameter_bytes",), "many"),
        (("peak_activation_bytes",), -1),
        (("layers",), None),
        (("layers", 0, "name"), None),
        (("layers", 0, "aliases"), [3]),
        (("layers", 0, "calls"), []),
        (("layers", 0, "calls", 0, "stride"), [0, 1]),
        (("layers", 0, "weight_count"), True),
        (("layers", 0, "has_bias"), 1),
        (("layers", 0, "colour"), "red"),
        (("unquantized", 0, "reason"), {}),
        (("unquantized", 0, "parameter_bytes"), 1.5),
        (("graph",), 3),
        (("graph", "nodes", 0, "kind"), "loop"),
        (("graph", "nodes", 1, "inputs"), ["later"]),
        (("graph", "nodes", 1, "layer"), {}),
        (("graph", "nodes", 1, "layer"), "unknown"),
        (("graph", "output"), "nowhere"),
        (("eager_reasons",), [1]),
        (("eager_reasons",), None),
    ],
)
def test_a_field_of_the_wrong_type_is_a_format_error(trace, path, value):
    fields: Any = copy.deepcopy(trace.to_dict())
    *above, last = path
    place = fields
    for key in above:
        place = place[key]
    place[last] = value
    with pytest.raises(FormatError, match="Not a model trace"):
        ModelTrace.from_dict(fields)
