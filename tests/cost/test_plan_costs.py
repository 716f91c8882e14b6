"""A compiled model's costs are those of exactly the steps that its plan has, under every policy."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_term import COST_COLUMNS
from mpsearch.cost.layer_terms import needed_steps
from mpsearch.errors import UnmeasuredError
from mpsearch.hardware.profile import Measurement, PassMeasurement
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.plan.compile import compile_plan
from mpsearch.plan.fusion import fuse
from mpsearch.precision.scheme import SCHEMES

ALLOWED = tuple(SCHEMES[name] for name in ("w1a1", "w8a8", "w32a32"))
PASS_S, BREAK_S, TAILS = 3e-6, 5e-7, {"p95_s": 0.5, "p99_s": 0.25}


def conv(name, source, *, groups=1):
    shape = LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=8,
        out_channels=8,
        spatial=(4, 4),
        kernel=(3, 3),
        padding=(1, 1),
        groups=groups,
    )
    return Node(name=name, kind="layer", inputs=(source,), size=(4, 4, 8), layer=name, shape=shape)


def simple(name, kind, *inputs, size=(4, 4, 8), **fields):
    return Node(name=name, kind=kind, inputs=inputs, size=size, **fields)


@pytest.fixture
def trace():
    """A residual block with a depthwise branch, a grouped layer, and a layer that is called twice."""
    fc = LayerShape(operator="linear", batch=1, in_channels=8, out_channels=8)
    nodes = (
        simple("x", "input"),
        conv("stem", "x"),
        simple("relu", "clamp", "stem", low=0.0),
        conv("left", "relu"),
        conv("right", "relu", groups=8),
        simple("sum", "add", "left", "right"),
        conv("grouped", "sum", groups=2),
        simple("pool", "avg_pool", "grouped", size=(1, 1, 8), kernel=(4, 4), stride=(4, 4)),
        simple("flat", "flatten", "pool", size=(1, 1, 8)),
        Node(name="fc1", kind="layer", inputs=("flat",), size=(1, 1, 8), layer="fc", shape=fc),
        Node(name="fc2", kind="layer", inputs=("fc1",), size=(1, 1, 8), layer="fc", shape=fc),
    )
    names = ("stem", "left", "right", "grouped", "fc")
    calls = {name: tuple(n.shape for n in nodes if n.layer == name) for name in names}
    return ModelTrace(
        layers=tuple(
            TracedLayer(name=name, calls=calls[name], weight_count=calls[name][0].weight_count, has_bias=True)
            for name in names
        ),
        unquantized=(),
        other_parameter_bytes=100,
        peak_activation_bytes=1000,
        fingerprint="f" * 16,
        graph=ModelGraph(nodes=nodes, output="fc2", input_rank=4, output_rank=2),
    )


@pytest.fixture
def allowed(trace):
    return {layer.name: ALLOWED for layer in trace.layers}


@pytest.fixture
def measured_profile(profile, trace, allowed):
    rng = np.random.default_rng(1)

    def measured(step):
        seconds = float(rng.uniform(1e-6, 1e-5))
        return Measurement(
            shape=step,
            latency_s=seconds,
            quartiles_s=(seconds, seconds),
            p95_s=1.25 * seconds,
            p99_s=1.75 * seconds,
            repetitions=3,
        )

    return replace(
        profile,
        measurements=tuple(measured(step) for step in needed_steps(trace, allowed)),
        passes=(
            PassMeasurement(
                model_fingerprint=trace.fingerprint,
                pass_s=PASS_S,
                break_s=BREAK_S,
                tail_p95=TAILS["p95_s"],
                tail_p99=TAILS["p99_s"],
                passes=9,
                reference_s=1e-5,
            ),
        ),
    )


@pytest.fixture
def model(trace, allowed, measured_profile):
    return CostModel.build(trace, schemes_per_layer=allowed, profile=measured_profile)


def all_codes(model):
    return np.array(list(product(range(len(ALLOWED)), repeat=len(model.layers))))


def test_the_latency_of_every_policy_is_the_sum_of_the_steps_that_its_plan_has(
    model, trace, measured_profile
):
    codes = all_codes(model)
    costs = model.evaluate_batch(codes)
    fused = fuse(trace.graph)
    for row, code in enumerate(codes[::7]):
        steps = [step.shape for step in compile_plan(fused, model.policy(code), batch=1)]
        estimates = [measured_profile.estimate(step) for step in steps]
        breaks = sum(step.kind == "float_layer" for step in steps)
        expected = PASS_S + BREAK_S * breaks + sum(estimate.latency_s for estimate in estimates)
        assert costs.latency_s[7 * row] == pytest.approx(expected, rel=1e-12)
        for name, tail in TAILS.items():
            late = sum(getattr(estimate, name) - estimate.latency_s for estimate in estimates)
            found = getattr(costs, f"latency_{name}")[7 * row]
            assert found == pytest.approx(expected + tail * late, rel=1e-12)


def test_layers_and_the_remainder_add_up_to_the_whole(model):
    for code in all_codes(model)[::11]:
        report = model.evaluate(model.policy(code))
        layers = sum(layer.latency_s for layer in report.layers)
        assert report.latency_s == pytest.approx(report.remainder_latency_s + layers, rel=1e-12)
        assert report.memory_bytes == 100 + sum(layer.memory_bytes for layer in report.layers)
        assert all(layer.origin == "measured" for layer in report.layers)


def test_what_a_layer_costs_depends_on_the_format_that_its_reader_takes(model):
    def stem_s(**schemes):
        policy = {**dict.fromkeys(model.layers, ALLOWED[1]), **{k: SCHEMES[v] for k, v in schemes.items()}}
        return next(layer.latency_s for layer in model.evaluate(policy).layers if layer.name == "stem")

    assert stem_s() != stem_s(left="w1a1")
    assert stem_s() != stem_s(left="w32a32")
    assert stem_s() == stem_s(right="w1a1")  # depthwise: bytes at any precision
    assert stem_s() == stem_s(fc="w1a1")


@pytest.mark.parametrize("cost", COST_COLUMNS)
@pytest.mark.parametrize("groups", [(), (("stem", "right"), ("left", "fc"))])
def test_extremes_are_those_of_all_policies(model, cost, groups):
    codes = all_codes(model)
    sizes = {
        layer: {scheme: 90 - 7 * place for place, scheme in enumerate(allowed)}
        for layer, allowed in model.schemes.items()
    }
    model = model.with_compressed(sizes)
    for group in groups:
        places = [model.layers.index(layer) for layer in group]
        codes = codes[(codes[:, places] == codes[:, places[:1]]).all(axis=1)]
    values = getattr(model.evaluate_batch(codes), cost)
    bounds = getattr(model.extremes(groups), cost)
    assert bounds.is_exact
    assert (bounds.least, bounds.greatest) == (values.min(), values.max())


def test_a_step_that_was_not_measured_names_its_layer_and_the_command(trace, allowed, measured_profile):
    step = next(m.shape for m in measured_profile.measurements if m.shape.kind == "avg_pool")
    with pytest.raises(UnmeasuredError, match=r"lacks flat \(avg_pool.*mpsearch profile --space"):
        CostModel.build(trace, schemes_per_layer=allowed, profile=measured_profile.without({step}))


def test_a_model_without_whole_passes_is_refused(trace, allowed, measured_profile):
    with pytest.raises(UnmeasuredError, match="Whole passes"):
        CostModel.build(trace, schemes_per_layer=allowed, profile=replace(measured_profile, passes=()))
