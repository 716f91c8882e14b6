from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.greedy_sampler import greedy_policies
from mpsearch.search.lowering_path import lowering_path
from tests.search.baseline_problem import knowledge_of, known_policies, proxy_of, search


@pytest.fixture
def policies():
    return known_policies(3)


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
