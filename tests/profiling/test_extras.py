"""What layers compute beside their schemes is measured, priced and counted as what it is."""

from dataclasses import replace

import pytest

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.layer_terms import needed_steps
from mpsearch.errors import ConfigError, UnmeasuredError
from mpsearch.plan.compile import compile_plan
from mpsearch.plan.fusion import fuse
from mpsearch.plan.step import StepShape
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.profiling import profile_machine as module
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.random_layer import random_quantized_layer

ALL = ("two_scales", "token_scale", "pixel_scale")
SOME = tuple(SCHEMES[name] for name in ("w1a1", "w1.58a8", "w8a8"))


@pytest.fixture
def measure(network, quick, quick_passes, monkeypatch):
    monkeypatch.setattr(module, "memory_bandwidth", lambda **_: 1e10)
    model, inputs, _ = network

    def measure(trace, existing=None):
        profiled = ProfiledModel(
            model=model,
            example_inputs=inputs,
            trace=trace,
            schemes={layer.name: SOME for layer in trace.layers},
        )
        profile = profile_machine(
            name="here",
            threads=1,
            models=[profiled],
            existing=existing,
            settings=quick,
            pass_settings=quick_passes,
        )
        return profiled, profile

    return measure


@pytest.mark.parametrize("in_torch", [False, True])
def test_a_profile_without_them_lacks_them_and_is_completed(network, measure, in_torch):
    plain = replace(network[2], graph=None) if in_torch else network[2]
    trace = plain.with_extras(ALL)
    _, profile = measure(plain)
    schemes = {layer.name: SOME for layer in trace.layers}
    with pytest.raises(UnmeasuredError, match="two scales"):
        CostModel.build(trace, schemes_per_layer=schemes, profile=profile)
    profiled, completed = measure(trace, existing=profile)
    assert profiled.is_measured_in(completed)
    costs = CostModel.build(trace, schemes_per_layer=schemes, profile=completed)
    assert costs.interpolated_layers == ()
    assert set(completed.measurements) > set(profile.measurements)


def test_memory_counts_the_second_scale_of_ternary_layers_only(network, measure):
    trace = network[2].with_extras(ALL)
    _, profile = measure(network[2])
    _, profile = measure(trace, existing=profile)
    schemes = {layer.name: SOME for layer in trace.layers}
    with_extras, without = (
        CostModel.build(given, schemes_per_layer=schemes, profile=profile) for given in (trace, network[2])
    )
    for scheme in SOME:
        policy = PrecisionPolicy.uniform(with_extras.layers, scheme)
        more = with_extras.evaluate(policy).memory_bytes - without.evaluate(policy).memory_bytes
        scales = sum(layer.calls[0].out_channels for layer in trace.layers)
        assert more == (4 * scales if scheme.name == "w1.58a8" else 0)


def test_layers_that_look_at_their_whole_input_get_it_as_float32_and_load_it_themselves(network):
    graph = network[2].with_extras(ALL).graph

    def shapes(scheme):
        policy = {node.layer: SCHEMES[scheme] for node in graph.nodes if node.layer}
        return [step.shape for step in compile_plan(fuse(graph), policy, batch=1)]

    calls = [node.shape for node in graph.nodes if node.shape is not None]
    linear = [call for call in calls if call.operator == "linear"]
    assert 0 < len(linear) < len(calls)
    loads = [step for step in shapes("w1a1") if step.extras]
    assert [step.extras for step in loads] == [("pixel_scale",)] * len(calls)
    assert [step.kernel for step in loads] == [call.kernel for call in calls]
    loads = [step.extras for step in shapes("w8a8") if step.extras]
    assert loads == [("token_scale",)] * len(linear)
    of_layers = [step.layer.extras for step in shapes("w1.58a8") if step.layer is not None]
    assert of_layers == [call.at(SCHEMES["w1.58a8"]).extras for call in calls]


def test_steps_survive_a_file(network):
    trace = network[2].with_extras(ALL)
    for step in needed_steps(trace, {layer.name: SOME for layer in trace.layers}):
        assert StepShape.from_dict(step.to_dict()) == step


def test_a_step_has_no_extras_that_belong_to_its_layer(network):
    call = network[2].layers[0].calls[0]
    with pytest.raises(ConfigError, match="extras"):
        StepShape(kind="load", batch=1, size=(*call.spatial, call.in_channels), extras=("token_scale",))


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "w32a32"])
def test_a_layer_to_be_timed_has_the_extras_of_its_scheme(network, scheme):
    for extras in (ALL, ("two_scales", "ternary_input")):
        for layer in network[2].with_extras(extras).layers:
            call = layer.calls[0]
            drawn = random_quantized_layer(call, SCHEMES[scheme])
            assert set(drawn.extras) == set(call.at(SCHEMES[scheme]).extras)
