from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search import proxy_starts
from mpsearch.search.best_under import best_under
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_front import exact_front, proxy_front
from mpsearch.search.proxy_starts import columns_that_matter, warm_start
from tests.search.baseline_problem import knowledge_of, known_policies, proxy_of, search
from tests.search.known_spaces import of_opposed_costs


def test_starts_are_of_the_proxy_front_with_its_ends_and_none_twice():
    policies = known_policies()
    proxy = proxy_of(policies)
    starts = warm_start(policies, proxy, 12)
    front = {tuple(codes) for codes in exact_front(policies, proxy.losses, [0, 1]).tolist()}
    found = [tuple(codes) for codes in starts.tolist()]
    assert len(set(found)) == 12
    assert set(found) <= front
    values = {
        codes: (proxy.evaluate(np.array([codes]))[0], *policies.evaluate(np.array([codes]))[0])
        for codes in front
    }
    for objective in range(3):
        least = min(value[objective] for value in values.values())
        assert any(values[codes][objective] == least for codes in found)


def test_starts_leave_smaller_gaps_than_random_policies_of_the_front():
    policies = known_policies()
    proxy = proxy_of(policies)
    front = exact_front(policies, proxy.losses, [0, 1])
    generator = np.random.default_rng(0)
    values = np.column_stack((np.sqrt(proxy.evaluate(front)), policies.evaluate(front)))
    values = (values - values.min(axis=0)) / np.ptp(values, axis=0)
    row = {tuple(codes): place for place, codes in enumerate(front.tolist())}

    def gap(rows):
        return np.linalg.norm(values[:, None] - values[rows][None], axis=2).min(axis=1).max()

    chosen = [row[tuple(codes)] for codes in warm_start(policies, proxy, 10).tolist()]
    drawn = [gap(generator.choice(len(front), 10, replace=False)) for _ in range(100)]
    assert gap(chosen) < min(drawn)


def test_starts_are_within_the_bounds():
    policies = known_policies(bounds=(30.0, np.inf), objectives=(None,))
    assert columns_that_matter(policies) == [0]
    starts = warm_start(policies, proxy_of(policies), 8)
    assert len(starts) == 8
    assert policies.feasible(starts).all()


def test_one_objective_without_bounds_has_one_best_policy():
    policies = known_policies(objectives=(None,))
    assert warm_start(policies, proxy_of(policies), 8).tolist() == [[2] * 5]


@pytest.mark.parametrize("room", [1.0, 1.001, 1.01])
def test_starts_hold_the_best_within_tight_bounds_that_thinning_drops(room):
    policies, losses, cheapest = of_opposed_costs()
    policies = replace(policies, bounds=room * policies.evaluate(cheapest)[0])
    proxy = Proxy(losses=tuple(losses), method="loss")
    starts = warm_start(policies, proxy, 6)
    best = best_under(policies, losses, policies.bounds)
    thinned = exact_front(policies, losses, [0, 1], most=proxy_starts.MOST_FRONT)
    assert best.tolist() in starts.tolist()
    assert best.tolist() not in thinned.tolist()
    assert policies.feasible(starts).all()


def test_a_short_front_is_taken_whole():
    policies = known_policies(2)
    only = np.array([False, True, True, False])
    policies = replace(policies, allowed=(only, only))
    losses = proxy_of(policies).losses
    starts = warm_start(policies, proxy_of(policies), 12)
    assert starts.tolist() == exact_front(policies, losses, [0, 1]).tolist()
    assert len(starts) > 1


@pytest.mark.parametrize("sampler", ["mpsearch", "evolution"])
def test_starts_are_found_once_for_all_asks(sampler, monkeypatch):
    policies = replace(known_policies())  # of which there are none yet
    fronts = []
    monkeypatch.setattr(
        proxy_starts, "proxy_front", lambda *of, **most: fronts.append(of) or proxy_front(*of, **most)
    )
    _, asked = search(sampler, knowledge_of(policies), 5)
    assert len(fronts) == 1
    assert len(set(asked)) == 5
