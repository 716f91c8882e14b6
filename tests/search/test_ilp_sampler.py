import itertools
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.ilp_sampler import ilp_policies
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_front import exact_front
from mpsearch.search.random_policies import ALL
from tests.search.baseline_problem import knowledge_of, known_policies, proxy_of, search
from tests.search.known_spaces import wide


@pytest.fixture
def policies():
    return known_policies(4)


def test_each_policy_is_the_best_estimate_under_some_budget(policies):
    proxy = proxy_of(policies)
    _, asked = search("ilp", knowledge_of(policies), 20)
    every = np.array(list(itertools.product(range(4), repeat=4)))
    losses, costs = proxy.evaluate(every), policies.evaluate(every)
    for codes in asked:
        loss, cost = proxy.evaluate(np.array([codes]))[0], policies.evaluate(np.array([codes]))[0]
        # Under one of its own costs as a budget, or both, nothing loses less.
        under = [(costs[:, :1] <= cost[:1]), (costs[:, 1:] <= cost[1:]), (costs <= cost)]
        assert any(losses[met.all(axis=1)].min() >= loss - 1e-12 for met in under)


def test_no_budget_comes_first_then_the_cheapest_of_each_cost(policies):
    _, asked = search("ilp", knowledge_of(policies), 3)
    assert asked[0] == (2, 2, 2, 2)
    costs = policies.evaluate(np.array(asked))
    assert costs[1, 0] == policies.evaluate(np.array([[1] * 4]))[0, 0]
    assert asked[1] == (1, 1, 1, 1)


@pytest.mark.parametrize("constant", [0.4, 0.9, 1.1])
def test_the_cheapest_allowed_policy_meets_its_own_budget(constant):
    policies, losses = wide(6, 4, columns=1)
    branch = replace(policies.branches[0], constant=np.array([constant]))
    upper = np.array([False, True, True, True])
    policies = replace(policies, branches=(branch,), allowed=(upper,) * 6)
    listed = ilp_policies(policies, Proxy(losses=tuple(losses), method="loss"))
    assert listed.first_unseen({(3,) * 6}) == (1,) * 6


def test_the_list_covers_the_budget_range_evenly_and_then_ends(policies):
    proxy = proxy_of(policies)
    front = {tuple(c) for c in exact_front(policies, proxy.losses, [0, 1]).tolist()}
    listed, seen = ilp_policies(policies, proxy), set()
    while (policy := listed.first_unseen(seen)) is not None:
        seen.add(policy)
    assert seen <= front
    assert len(seen) > 0.5 * len(front)
    latency = np.sort(policies.evaluate(np.array(sorted(seen)))[:, 0])
    assert np.diff(latency).max() < 0.2 * np.ptp(latency)


def test_a_large_space_is_solved_as_exactly():
    policies = known_policies(8, objectives=(None, 1))
    proxy = proxy_of(policies)
    assert policies.policies > ALL
    front = values_of(policies, exact_front(policies, proxy.losses, [1]))
    listed, seen = ilp_policies(policies, proxy), set()
    for _ in range(5):
        seen.add(listed.first_unseen(seen))
    assert values_of(policies, np.array(sorted(seen))) <= front


def values_of(policies, codes):
    """Rounded, since sums may be taken in another order."""
    losses, costs = proxy_of(policies).evaluate(codes), policies.evaluate(codes)[:, 1]
    return set(zip(losses.round(9).tolist(), costs.round(9).tolist(), strict=True))


def test_bounds_of_the_space_hold_for_every_budget():
    policies = known_policies(4, bounds=(25.0, 100.0))
    listed, seen = ilp_policies(policies, proxy_of(policies)), set()
    for _ in range(15):
        seen.add(listed.first_unseen(seen))
    assert policies.feasible(np.array(sorted(seen))).all()


def test_one_budgeted_objective_is_solved_under_its_own_bound_first():
    policies = known_policies(4, objectives=(None,), bounds=(25.0, np.inf))
    proxy = proxy_of(policies)
    every = np.array(list(itertools.product(range(4), repeat=4)))
    every = every[policies.feasible(every)]
    _, asked = search("ilp", knowledge_of(policies), 1)
    assert proxy.evaluate(np.array(asked))[0] == pytest.approx(proxy.evaluate(every).min())
