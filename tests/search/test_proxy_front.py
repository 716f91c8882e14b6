"""Fronts by dynamic programming, against all policies tried."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.search import proxy_front as proxy_front_module
from mpsearch.search.proxy_front import exact_front, proxy_front
from tests.search.known_spaces import SPACES, every_policy, known_space, loss_of, wide


def values_of(policies, losses, codes, columns):
    return np.column_stack((loss_of(losses, codes), policies.evaluate(codes)[:, columns]))


def front_of_all(policies, losses, columns):
    codes = every_policy(policies)
    values = values_of(policies, losses, codes[policies.feasible(codes)], columns)
    return np.unique(values[non_dominated(values)], axis=0)


@settings(max_examples=40, deadline=None)
@given(asked=st.integers(0, 3), **SPACES)
def test_the_front_is_that_of_all_policies_each_point_once(asked, seed, **kind):
    policies, losses = known_space(np.random.default_rng(seed), **kind)
    columns = list(range(min(asked, kind["columns"])))
    found = exact_front(policies, losses, columns)
    values = values_of(policies, losses, found, columns)
    assert np.array_equal(np.unique(values, axis=0), front_of_all(policies, losses, columns))
    assert len(np.unique(values, axis=0)) == len(found)
    assert policies.feasible(found).all()
    assert (np.diff(values[:, 0]) >= 0).all()


@settings(max_examples=40, deadline=None)
@example(most=1, seed=75300, pairs=True, widths=2, bounded=False, pinned=False, columns=3)
@given(most=st.integers(1, 30), **SPACES)
def test_few_policies_stand_for_the_front_as_well_as_they_say(most, seed, **kind):
    policies, losses = known_space(np.random.default_rng(seed), **kind)
    columns = list(range(kind["columns"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxy_front_module, "_QUICK_SUMS", 0)
        patch.setattr(proxy_front_module, "_QUICK_SUMS_OF_ONE_COST", 0)
        patch.setattr("mpsearch.search.pareto_elimination._PER_STATE", 3)
        patch.setattr("mpsearch.search.pareto_elimination._THINNED_PAIRS", 100)
        few = proxy_front(policies, losses, columns, most=most)
    assert len(few.codes) <= most
    assert policies.feasible(few.codes).all()
    values = values_of(policies, losses, few.codes, columns)
    assert non_dominated(values).all()
    for point in front_of_all(policies, losses, columns):
        if (point[1:] * few.ratio > policies.bounds).any() or most <= len(columns):
            continue
        near = (values[:, 0] <= point[0]) & (values[:, 1:] <= point[1:] * few.ratio * (1 + 1e-9)).all(axis=1)
        assert near.any()


def test_a_small_front_is_whole_though_few_would_do():
    policies, losses = known_space(np.random.default_rng(3))
    whole, few = (proxy_front(policies, losses, [0, 1], most=most) for most in (None, 1000))
    assert np.array_equal(whole.codes, few.codes)
    assert few.ratio.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("columns", [1, 2])
def test_a_front_of_many_layers_is_thinned_to_what_is_asked(columns):
    policies, losses = wide(60, 6, columns=columns)
    few = proxy_front(policies, losses, list(range(columns)), most=200)
    values = values_of(policies, losses, few.codes, list(range(columns)))
    assert 50 < len(few.codes) <= 200
    assert non_dominated(values).all()
    assert (few.ratio < 2.5).all()
    assert values[0, 0] == pytest.approx(sum(added.min() for added in losses))


def test_policies_of_a_thinned_front_lie_on_the_whole_one_or_next_to_it():
    policies, losses = wide(14, 5)
    whole = values_of(policies, losses, exact_front(policies, losses, [0, 1]), [0, 1])
    few = proxy_front(policies, losses, [0, 1], most=300)
    values = values_of(policies, losses, few.codes, [0, 1])
    for point in whole:
        rows = values[:, 0] <= point[0] + 1e-9
        assert (values[rows, 1:] / point[1:]).max(axis=1).min() < 1.08


def test_a_bound_between_two_policies_is_met_to_the_last_bit():
    policies, losses = wide(8, 4, columns=1)
    costs = policies.evaluate(exact_front(policies, losses, [0]))[:, 0]
    policies.bounds[0] = costs[len(costs) // 2]
    at = exact_front(policies, losses, [0])
    assert policies.evaluate(at)[:, 0].max() == policies.bounds[0]
    policies.bounds[0] = np.nextafter(policies.bounds[0], 0)
    below = exact_front(policies, losses, [0])
    assert len(below) == len(at) - 1


def test_where_no_policy_fits_the_front_is_empty():
    policies, losses = wide(5, 3)
    policies.bounds[0] = 0.0
    assert exact_front(policies, losses, [0, 1]).shape == (0, 5)
    assert exact_front(policies, losses, [1], most=10).shape == (0, 5)


def test_a_front_that_explodes_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(proxy_front_module, "MOST_SUMS", 1000)
    policies, losses = wide(30, 6)
    with pytest.raises(ConfigError, match=r"at most 1000 partial policies.*in 3 dimensions.*`most`"):
        exact_front(policies, losses, [0, 1])
    assert len(exact_front(policies, losses, [0, 1], most=50)) <= 50
