"""Costs are exact sums; a batch agrees with single policies to the bit; nothing unknown is free."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpsearch.cost.cost_term import COST_COLUMNS
from mpsearch.errors import ConfigError, UnmeasuredError
from mpsearch.plan.step import call_step
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES

PROPERTY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
POLICIES = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=20)


@PROPERTY
@given(codes=POLICIES)
def test_a_batch_agrees_exactly_with_each_policy_alone(model, codes):
    batch = model.evaluate_batch(codes)
    for row, code in enumerate(codes):
        report = model.evaluate(model.policy(code))
        assert report.latency_s == batch.latency_s[row]
        assert report.latency_p95_s == batch.latency_p95_s[row]
        assert report.latency_p99_s == batch.latency_p99_s[row]
        assert report.memory_bytes == batch.memory_bytes[row]
        assert report.energy_j == batch.energy_j[row]


@PROPERTY
@given(code=st.tuples(*[st.integers(0, 5)] * 3))
def test_totals_are_the_sums_of_the_layers_and_what_stays(model, code):
    report = model.evaluate(model.policy(code))
    assert report.memory_bytes == report.other_memory_bytes + sum(part.memory_bytes for part in report.layers)
    assert report.latency_s == pytest.approx(
        report.remainder_latency_s + sum(part.latency_s for part in report.layers), rel=1e-12
    )
    assert report.energy_j == pytest.approx(sum(part.energy_j for part in report.layers), rel=1e-12)


@PROPERTY
@given(code=st.tuples(*[st.integers(0, 5)] * 3))
def test_codes_and_policies_are_inverse(model, code):
    assert tuple(model.codes(model.policy(code))) == code


def test_codes_follow_the_schemes_from_low_to_high_precision(build, layers):
    model = build(schemes_per_layer={layer.name: [SCHEMES["w8a8"], SCHEMES["w1a8"]] for layer in layers})
    assert [scheme.name for scheme in model.schemes["conv"]] == ["w1a8", "w8a8"]
    assert model.policy([0, 0, 1])["head"] == SCHEMES["w8a8"]


def test_a_repeated_layer_costs_time_and_energy_per_call_and_memory_once(model, profile, layers):
    policy = PrecisionPolicy.uniform(model.layers, SCHEMES["w8a8"])
    _, step, _ = model.evaluate(policy).layers
    one = profile.estimate(call_step(layers[1].calls[0], SCHEMES["w8a8"])).latency_s
    assert step.latency_s == pytest.approx(3 * one)
    assert step.macs == 3 * 64 * 64
    assert step.memory_bytes == 64 * 64 + 4 * 64 + 4 + 4 * 64


@pytest.mark.parametrize(
    ("scheme", "conv_bytes", "head_bytes"),
    [
        ("w1a1", 27 + 32 + 4 * 3 + 4, 80 + 40 + 4 * 64 + 4 + 40),
        ("w1a8", 27 + 32 + 4, 80 + 40 + 4 + 40),
        ("w1.58a8", 44 + 32 + 4, 128 + 40 + 4 + 40),
        ("w4a8", 108 + 32 + 4, 320 + 40 + 4 + 40),
        ("w8a8", 216 + 32 + 4, 640 + 40 + 4 + 40),
        ("w32a32", 864, 2560 + 40),
    ],
)
def test_memory_counts_packed_weights_scales_activation_parameters_and_bias(
    model, scheme, conv_bytes, head_bytes
):
    conv, _, head = model.evaluate(PrecisionPolicy.uniform(model.layers, SCHEMES[scheme])).layers
    assert (conv.memory_bytes, head.memory_bytes) == (conv_bytes, head_bytes)


def test_full_precision_takes_what_the_float_model_takes(model, layers):
    report = model.evaluate(PrecisionPolicy.uniform(model.layers, FULL_PRECISION))
    floats = sum(layer.weight_count for layer in layers) + 64 + 10
    assert report.memory_bytes == 1234 + 4 * floats


def test_energy_is_work_plus_weights_from_dram_plus_activations_through_cache(model, profile):
    head = model.evaluate(PrecisionPolicy.uniform(model.layers, SCHEMES["w8a8"])).layers[2]
    table = profile.energy
    expected = (
        640 * table.mac_j(SCHEMES["w8a8"])
        + head.memory_bytes * table.dram_byte.energy_j
        + (64 * 1 + 10 * 4) * table.cache_byte.energy_j
    )
    assert head.energy_j == pytest.approx(expected)


def compressible(model):
    """Sizes in an order that is not that of the bits."""
    return {
        layer: {scheme: 100 + (37 * place + 11 * len(layer)) % 53 for place, scheme in enumerate(allowed)}
        for layer, allowed in model.schemes.items()
    }


def all_policies(model):
    return [
        model.policy(code) for code in product(*[range(len(model.schemes[name])) for name in model.layers])
    ]


def test_the_compressed_size_is_the_memory_with_the_weights_compressed(model, layers):
    report = model.evaluate(PrecisionPolicy.uniform(model.layers, SCHEMES["w4a8"]))
    assert report.compressed_bytes is None
    assert model.extremes().compressed_bytes is None
    sizes = {"conv": 100, "step": 2000, "head": 301}
    known = model.with_compressed(
        {name: dict.fromkeys(model.schemes[name], size) for name, size in sizes.items()}
    )
    compressed = known.evaluate(PrecisionPolicy.uniform(model.layers, SCHEMES["w4a8"]))
    packed = sum(-(-layer.weight_count // 2) for layer in layers)
    assert compressed.compressed_bytes == report.memory_bytes - packed + sum(sizes.values())
    assert compressed.memory_bytes == report.memory_bytes
    assert compressed.energy_j == report.energy_j


@pytest.mark.parametrize("cost", COST_COLUMNS)
@pytest.mark.parametrize("groups", [(), (("conv", "head"),)])
def test_extremes_are_those_of_all_policies(model, cost, groups):
    model = model.with_compressed(compressible(model))
    policies = [
        p for p in all_policies(model) if all(len({p[name] for name in group}) == 1 for group in groups)
    ]
    values = [getattr(model.evaluate(policy), cost) for policy in policies]
    bounds = getattr(model.extremes(groups), cost)
    assert bounds.is_exact
    assert (bounds.least, bounds.greatest) == (min(values), max(values))
    assert getattr(model.evaluate(bounds.least_policy), cost) == bounds.least
    assert getattr(model.evaluate(bounds.greatest_policy), cost) == bounds.greatest


def test_a_group_without_a_common_scheme_and_unknown_layers_are_refused(build, layers):
    schemes = {"conv": [SCHEMES["w8a8"]], "step": [SCHEMES["w4a8"]], "head": [SCHEMES["w4a8"]]}
    model = build(schemes_per_layer=schemes)
    with pytest.raises(ConfigError, match="conv, step share none"):
        model.extremes([("conv", "step")])
    with pytest.raises(ConfigError, match="each once"):
        model.extremes([("conv", "nowhere")])


def test_layers_without_a_measurement_are_named_with_the_call_that_adds_them(build, profile):
    known = tuple(m for m in profile.measurements if m.shape.scheme.name != "w1a1")
    with pytest.raises(
        UnmeasuredError, match=r"conv at w1a1 .*step at w1a1.*mpsearch profile --space SPACE.yaml"
    ):
        build(profile=replace(profile, measurements=known))


def test_schemes_that_are_not_allowed_need_no_measurement(build, profile, layers):
    known = tuple(m for m in profile.measurements if m.shape.scheme.name == "w8a8")
    only = {layer.name: [SCHEMES["w8a8"]] for layer in layers}
    model = build(profile=replace(profile, measurements=known), schemes_per_layer=only)
    with pytest.raises(ConfigError, match="may take w8a8; got w1a1"):
        model.evaluate(PrecisionPolicy.uniform(model.layers, SCHEMES["w1a1"]))


def test_a_model_whose_remainder_was_not_measured_is_refused(build, trace):
    with pytest.raises(UnmeasuredError, match="ffff"):
        build(trace=replace(trace, fingerprint="ffff"))


@pytest.mark.parametrize(
    "codes", [[[0, 0]], [0, 0, 0], [[0, 0, 6]], [[-1, 0, 0]], [[0.0, 0.0, 0.0]], [[True, True, True]]]
)
def test_codes_of_the_wrong_shape_type_or_range_are_refused(model, codes):
    with pytest.raises(ConfigError):
        model.evaluate_batch(codes)


def test_an_empty_batch_costs_nothing_to_evaluate(model):
    assert model.evaluate_batch(np.zeros((0, 3), np.int64)).latency_s.shape == (0,)


def test_a_policy_must_name_exactly_the_layers(model):
    with pytest.raises(ConfigError, match="differs in"):
        model.evaluate(PrecisionPolicy({"conv": "w8a8"}))


def test_layers_and_their_schemes_must_match(build):
    with pytest.raises(ConfigError, match="head"):
        build(schemes_per_layer={"conv": [FULL_PRECISION], "step": [FULL_PRECISION]})
    with pytest.raises(ConfigError, match="at least one scheme"):
        build(schemes_per_layer={"conv": [], "step": [FULL_PRECISION], "head": [FULL_PRECISION]})
