"""Greedy lowering: its steps against their definition, and how little of a policy a step looks at."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.lowering_path import lowering_path
from mpsearch.search.precision_order import PrecisionOrder
from mpsearch.search.proxy import Proxy
from tests.search.baseline_problem import OFFERED, known_policies, proxy_of
from tests.search.known_spaces import SPACES, known_space, wide


@pytest.fixture
def policies():
    return known_policies(3)


def test_the_way_goes_from_the_most_precise_policy_down_one_choice_at_a_time(policies):
    path = lowering_path(policies, proxy_of(policies), np.array([0.0, 1.0]))
    assert [OFFERED[code] for code in path[0]] == ["w32a32"] * 3
    assert [OFFERED[code] for code in path[-1]] == ["w1a1"] * 3
    assert len(path) == 1 + 3 * 3
    assert ((path[1:] != path[:-1]).sum(axis=1) == 1).all()
    memory = policies.evaluate(path)[:, 1]
    assert (np.diff(memory) < 0).all()


def test_each_step_is_the_one_that_loses_least_per_cost_saved(policies):
    proxy = proxy_of(policies)
    path = lowering_path(policies, proxy, np.array([0.0, 1.0]))
    next_lower = {2: 0, 0: 3, 3: 1}  # codes of w32a32 -> w8a8 -> w4a8 -> w1a1
    for here, there in itertools.pairwise(path):
        ratios = {}
        for choice in range(3):
            if here[choice] != 1:
                lowered = here.copy()
                lowered[choice] = next_lower[here[choice]]
                saved = (policies.evaluate(here[None]) - policies.evaluate(lowered[None]))[0, 1]
                added = (proxy.evaluate(lowered[None]) - proxy.evaluate(here[None]))[0]
                ratios[tuple(lowered.tolist())] = added / saved
        assert ratios[tuple(there.tolist())] == pytest.approx(min(ratios.values()))


def test_a_precision_that_saves_nothing_is_passed_over(policies):
    path = lowering_path(policies, proxy_of(policies), np.array([1.0, 0.0]))
    assert 3 not in path  # w4a8 is slower than w8a8
    assert len(path) == 1 + 3 * 2


@settings(max_examples=40, deadline=None)
@given(**{name: kind for name, kind in SPACES.items() if name != "bounded"})
def test_the_way_is_that_of_pricing_every_lower_policy_at_every_step(seed, **kind):
    rng = np.random.default_rng(seed)
    policies, losses = known_space(rng, **kind)
    for table in (*losses, *(factor.table for branch in policies.branches for factor in branch.factors)):
        np.add(table, rng.random(table.shape), out=table)  # no two ratios are equal
    for allowed in policies.allowed or ():
        allowed[rng.integers(len(allowed))] = True
    weights = rng.random(kind["columns"])
    found = lowering_path(policies, Proxy(losses=tuple(losses), method="loss"), weights)
    assert found.tolist() == way_by_definition(policies, losses, weights)


def way_by_definition(policies, losses, weights):
    order = PrecisionOrder.of(policies)
    here, choices = order.sizes - 1, range(len(order.sizes))

    def costs(places):
        return policies.evaluate(order.codes_at(places)[None])[0]

    def loss(places):
        return sum(added[code] for added, code in zip(losses, order.codes_at(places), strict=True))

    span = np.abs(costs(here) - costs(0 * here))
    weights = weights / np.where(span > 0, span, 1.0)
    way = [order.codes_at(here).tolist()]
    while True:
        steps = []
        for choice in choices:
            for place in range(here[choice] - 1, -1, -1):
                there = np.where(np.arange(len(here)) == choice, place, here)
                if (saved := (costs(here) - costs(there)) @ weights) > 0:
                    steps.append(((loss(there) - loss(here)) / saved, there))
                    break
        if not steps:
            return way
        _, here = min(steps, key=lambda step: step[0])
        way.append(order.codes_at(here).tolist())


def test_policies_are_priced_whole_at_the_ends_alone(monkeypatch):
    policies, losses = wide(40, 5)
    priced = []
    evaluate = KnownPolicies.evaluate
    monkeypatch.setattr(
        KnownPolicies, "evaluate", lambda self, codes: priced.append(len(codes)) or evaluate(self, codes)
    )
    path = lowering_path(policies, Proxy(losses=tuple(losses), method="loss"), np.array([0.5, 0.5]))
    assert len(path) == 1 + 40 * 4
    assert sum(priced) == 2
