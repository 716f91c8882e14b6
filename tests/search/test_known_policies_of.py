"""Tables of a real space's costs, against the cost models themselves."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import ConfigError
from mpsearch.search import known_policies_of as known_policies_of_module
from mpsearch.search.best_under import best_under
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.known_policies_of import known_policies_of
from mpsearch.search.narrowing import narrowed
from mpsearch.search.objective import OBJECTIVES, objective_named
from mpsearch.search.overrides import Overrides
from mpsearch.search.preparation import cost_models
from mpsearch.search.proxy_front import exact_front
from mpsearch.search.resolve import all_codes, cost_model_of, resolve

ASKED = tuple(OBJECTIVES[name] for name in ("accuracy", "latency", "memory"))


@pytest.fixture
def grouped(space_of, trace, profile):
    space = space_of(
        layers='[{match: "0", schemes: [w8a8]}, {match: "*", schemes: [w1a1, w1.58a8, w8a8], group: a}]'
    )
    return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile))


@pytest.fixture
def on_two_devices(space, trace, profile):
    model = cost_model_of(space, trace, profile)
    slower = tuple(
        replace(
            m,
            latency_s=3 * m.latency_s,
            quartiles_s=(3 * m.latency_s,) * 2,
            p95_s=6 * m.p95_s,
            p99_s=6 * m.p99_s,
        )
        for m in profile.measurements
    )
    other = cost_model_of(space, trace, replace(profile, name="pi5", measurements=slower))
    return KnownCosts.of_model(resolve(space, trace), model, {"pi5": other})


@pytest.fixture
def wide(wide_space, wide_traced, wide_profile):
    return KnownCosts(wide_traced.resolved, cost_models(wide_space, wide_traced, wide_profile, ()))


def every_policy(known):
    return np.concatenate(list(all_codes(known.resolved)))


@pytest.mark.parametrize("kind", ["grouped", "on_two_devices", "wide"])
def test_costs_are_those_of_the_models(kind, request):
    known = request.getfixturevalue(kind)
    policies = known_policies_of(known, objectives=ASKED, budgets=Budgets())
    codes = every_policy(known)
    assert policies.policies == len(codes)
    assert policies.names == tuple(known.resolved.parameters)
    assert policies.columns == tuple(cost.name for cost in known.columns)
    np.testing.assert_allclose(policies.evaluate(codes), known.evaluate(codes), rtol=1e-12)


@pytest.mark.parametrize("kind", ["grouped", "on_two_devices", "wide"])
def test_no_factor_depends_on_a_width_or_a_pin(kind, request):
    known = request.getfixturevalue(kind)
    policies = known_policies_of(known, objectives=ASKED, budgets=Budgets())
    layers = len(known.resolved.choices)
    assert len(policies.branches) == max(1, len(known.resolved.widths))
    for branch in policies.branches:
        assert all(set(factor.choices) <= set(range(layers)) for factor in branch.factors)
        assert all((np.diff(factor.choices) > 0).all() for factor in branch.factors)


def test_objectives_and_budgets_find_their_columns(on_two_devices):
    budgets = Budgets.parse({"latency@pi5": "1ms", "accuracy": 0.9})
    objectives = (OBJECTIVES["energy"], OBJECTIVES["accuracy"], objective_named("latency@pi5"))
    policies = known_policies_of(on_two_devices, objectives=objectives, budgets=budgets)
    columns = [None if place is None else policies.columns[place] for place in policies.objectives]
    assert columns == ["energy", None, "latency@pi5"]
    assert np.flatnonzero(np.isfinite(policies.bounds)).tolist() == [policies.columns.index("latency@pi5")]
    assert policies.bounds.min() == 1e-3
    assert policies.is_maximized
    assert policies.least_score == 0.9


@pytest.mark.parametrize(
    ("objectives", "budgets", "is_maximized", "least_score"),
    [
        (["loss", "latency"], {"loss": 0.5}, False, 0.5),
        (["latency"], {"loss": 0.5}, False, 0.5),
        (["latency"], {"accuracy": 0.5}, True, 0.5),
        (["loss"], {}, False, None),
    ],
)
def test_the_learnt_score_is_that_which_is_asked_for(grouped, objectives, budgets, is_maximized, least_score):
    policies = known_policies_of(
        grouped, objectives=tuple(OBJECTIVES[name] for name in objectives), budgets=Budgets.of(budgets)
    )
    assert (policies.is_maximized, policies.least_score) == (is_maximized, least_score)


@pytest.mark.parametrize("kind", ["on_two_devices", "wide"])
def test_what_overrides_forbid_is_never_proposed(kind, request):
    known = request.getfixturevalue(kind)
    narrow = narrowed(known.resolved, Overrides.parse(pins=["0=w4a8"], forbid=["2=w1a1"]))
    policies = known_policies_of(known, objectives=ASKED, budgets=Budgets(), allowed=narrow)
    codes = every_policy(known)
    wanted = [
        (policy := known.resolved.policy(row))["0"].name == "w4a8" and policy["2"].name != "w1a1"
        for row in codes
    ]
    assert policies.feasible(codes).tolist() == wanted
    losses = [np.arange(size)[::-1].astype(float) for size in policies.sizes]
    front = exact_front(policies, losses, [0, 3])
    assert len(front) > 1
    assert policies.feasible(front).all()
    assert policies.feasible(best_under(policies, losses, policies.bounds)[None]).all()


def test_the_front_of_all_widths_is_that_of_all_policies(wide):
    policies = known_policies_of(wide, objectives=ASKED, budgets=Budgets())
    codes = every_policy(wide)
    losses = [np.linspace(1, 0, size) ** 2 for size in policies.sizes]
    loss = sum(added[codes[:, place]] for place, added in enumerate(losses))
    latency = wide.evaluate(codes)[:, 0]

    def is_beaten(own, cost):
        is_as_good = (loss <= own + 1e-9) & (latency <= cost * (1 + 1e-9))
        return (is_as_good & ((loss < own - 1e-9) | (latency < cost * (1 - 1e-9)))).any()

    pairs = zip(loss.tolist(), latency.tolist(), strict=True)
    wanted = {(round(own, 6), f"{cost:.6g}") for own, cost in pairs if not is_beaten(own, cost)}
    found = exact_front(policies, losses, [0])
    of_found = sum(added[found[:, place]] for place, added in enumerate(losses))
    pairs = zip(of_found.tolist(), wide.evaluate(found)[:, 0].tolist(), strict=True)
    assert {(round(own, 6), f"{cost:.6g}") for own, cost in pairs} == wanted
    assert len(found) == len(wanted)


def test_a_cost_of_too_many_layers_at_once_is_refused_with_a_way_out(on_two_devices, monkeypatch):
    monkeypatch.setattr(known_policies_of_module, "_MOST_ENTRIES", 4)
    with pytest.raises(ConfigError, match=r"at most 4 combinations of schemes; got .* put them into a group"):
        known_policies_of(on_two_devices, objectives=ASKED, budgets=Budgets())
