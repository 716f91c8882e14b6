"""What the policies of a space cost, and how many of them meet the budgets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpsearch.search import reach as reach_module
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.objective import COSTS, OBJECTIVES
from mpsearch.search.reach import DRAWS, Share, random_codes, reach_of
from mpsearch.search.resolve import all_codes, cost_model_of, resolve


@pytest.fixture
def known(space, trace, profile) -> KnownCosts:
    return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile))


@pytest.fixture
def table(known):
    return np.concatenate([known.evaluate(codes) for codes in all_codes(known.resolved)])


def test_the_ends_are_those_of_every_policy_and_their_policies_are_there(known, table):
    for reach in reach_of(known, Budgets()).costs:
        column = table[:, COSTS.index(reach.cost)]
        assert reach.least == pytest.approx(column.min())
        assert reach.greatest == pytest.approx(column.max())
        assert getattr(known.costs(reach.least_policy), reach.cost.field) == pytest.approx(reach.least)


def test_the_histogram_holds_every_policy_once(known):
    for reach in reach_of(known, Budgets()).costs:
        assert sum(reach.histogram) == pytest.approx(1)


def test_the_share_within_budgets_is_counted_where_all_policies_can_be(known, table):
    bounds = {
        name: float(np.quantile(table[:, place], 0.3)) for place, name in ((0, "latency"), (3, "memory"))
    }
    budgets = Budgets(latency_s=bounds["latency"], memory_bytes=bounds["memory"])
    found = reach_of(known, budgets)
    alone = table[:, 0] <= bounds["latency"]
    both = alone & (table[:, 3] <= bounds["memory"])
    assert found.costs[0].within == Share(examined=len(table), met=int(alone.sum()), is_exact=True)
    assert found.together == Share(examined=len(table), met=int(both.sum()), is_exact=True)
    assert found.feasible_policies == int(both.sum())
    assert found.is_feasible


def test_a_large_space_is_drawn_from_and_the_interval_holds_the_true_share(known, table, monkeypatch):
    bound = float(np.quantile(table[:, 0], 0.3))
    monkeypatch.setattr(reach_module, "ENUMERABLE", 1)
    found = reach_of(known, Budgets(latency_s=bound), seed=3)
    share = found.costs[0].within
    assert (share.is_exact, share.examined) == (False, DRAWS)
    low, high = share.interval
    assert low < (table[:, 0] <= bound).mean() < high
    assert high - low < 0.02
    assert found.feasible_policies is None
    assert found.together is None


def test_budgets_out_of_reach_are_an_answer_that_names_the_least(known):
    least = known.range_of(OBJECTIVES["latency"]).least
    found = reach_of(known, Budgets(latency_s=0.5 * least))
    assert not found.is_feasible
    assert not found.costs[0].is_reachable
    assert "smallest reachable latency" in found.problem


def test_a_budget_on_accuracy_is_none_on_costs(known):
    found = reach_of(known, Budgets(accuracy=0.99))
    assert found.is_feasible
    assert found.feasible_policies == known.resolved.policies


def test_costs_that_are_not_asked_for_are_neither_told_nor_bounded(known):
    memory = next(cost for cost in COSTS if cost.name == "memory")
    found = reach_of(known, Budgets(latency_s=1e-12, memory_bytes=1e9), costs=(memory,))
    assert [reach.cost.name for reach in found.costs] == ["memory"]
    assert found.is_feasible


def test_draws_follow_from_the_seed_and_stay_within_the_choices():
    sizes = np.array([2, 5, 3])
    first = random_codes(sizes, 500, 1)
    assert (first == random_codes(sizes, 500, 1)).all()
    assert (first != random_codes(sizes, 500, 2)).any()
    assert (first.max(0) == sizes - 1).all()


def test_no_hit_among_random_policies_does_not_mean_none():
    low, high = Share(examined=1000, met=0, is_exact=False).interval
    assert low == 0
    assert 0 < high < 0.01
    assert dataclasses.replace(Share(examined=10, met=0, is_exact=True)).interval == (0, 0)
