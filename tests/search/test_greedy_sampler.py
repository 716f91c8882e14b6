import itertools
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.greedy_sampler import greedy_policies, lowering_path
from tests.search.baseline_problem import OFFERED, knowledge_of, known_policies, proxy_of, search


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


def test_ends_come_first_and_ways_of_all_costs_take_turns(policies):
    proxy = proxy_of(policies)
    _, asked = search("greedy", knowledge_of(policies), 6)
    assert asked[0] == (2, 2, 2)
    assert asked[1] == (1, 1, 1)
    paths = [lowering_path(policies, proxy, np.array(w)) for w in ([1.0, 0.0], [0.0, 1.0], [0.5, 0.5])]
    on_path = [{tuple(codes) for codes in path.tolist()} for path in paths]
    assert all(any(codes in path for path in on_path) for codes in asked)
    assert asked[2] in on_path[0]
    assert asked[3] in on_path[1]


def test_the_list_is_kept_between_asks_and_worked_out_no_further_than_asked_for(policies):
    policies, proxy = replace(policies), proxy_of(policies)  # of which there is no list yet
    assert greedy_policies(policies, proxy) is greedy_policies(policies, proxy)
    first = greedy_policies(policies, proxy).first_unseen(set())
    assert first == (2, 2, 2)
    assert len(greedy_policies(policies, proxy)._found) == 1
