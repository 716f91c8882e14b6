import itertools
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.random_policies import random_unseen
from tests.search.baseline_problem import known_policies

LARGE = 9  # choices: 4^9 policies are not listed


def cheapest(policies):
    return np.array([int(np.argmin(schemes)) for schemes in policies.places])


@pytest.mark.parametrize("bound", [8.0, np.inf])
def test_every_policy_within_the_bounds_is_found_once_then_any_is_taken(bound):
    policies = known_policies(2, bounds=(bound, np.inf))
    codes = np.array(list(itertools.product(range(4), repeat=2)))
    wanted = {tuple(row) for row in codes[policies.feasible(codes)].tolist()}
    generator, seen = np.random.default_rng(0), set()
    for _ in wanted:
        seen.add(random_unseen(policies, seen, generator))
    assert seen == wanted
    assert len(random_unseen(policies, seen, generator)) == 2


def test_policies_of_a_large_space_are_within_the_bounds_and_new():
    policies = known_policies(LARGE, bounds=(120.0, np.inf))
    generator, seen = np.random.default_rng(0), set()
    for _ in range(40):
        found = random_unseen(policies, seen, generator)
        assert found not in seen
        assert policies.feasible(np.array([found])).all()
        seen.add(found)


def test_neighbours_of_a_policy_within_tight_bounds_are_found():
    policies = known_policies(LARGE)
    least = cheapest(policies)
    latency_s, _ = policies.evaluate(least[None])[0]
    policies = replace(policies, bounds=np.array([latency_s + 2, np.inf]))
    generator, seen = np.random.default_rng(0), {tuple(least.tolist())}
    for _ in range(3):  # one layer a step up, or the first by two, or the second
        found = random_unseen(policies, seen, generator)
        assert found not in seen
        assert policies.feasible(np.array([found])).all()
        seen.add(found)


def test_bounds_that_hardly_a_policy_meets_are_met_from_the_first_one_on():
    policies = known_policies(LARGE)
    latency_s, memory = policies.evaluate(cheapest(policies)[None])[0]
    policies = replace(policies, bounds=np.array([latency_s + 4, memory + 40]))
    found = random_unseen(policies, set(), np.random.default_rng(0))
    assert policies.feasible(np.array([found])).all()


def test_overrides_are_kept():
    policies = known_policies(LARGE)
    only = np.array([True, False, False, False])
    policies = replace(policies, allowed=(only, *[np.ones(4, bool)] * (LARGE - 1)))
    generator = np.random.default_rng(0)
    assert {random_unseen(policies, set(), generator)[0] for _ in range(20)} == {0}
