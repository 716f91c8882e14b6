"""Few points that stand for many: as good as is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.pareto.epsilon_grid import thinned


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 3),
    groups=st.integers(1, 3),
    most=st.integers(1, 40),
    cells=st.sampled_from([1, 50, 1 << 14]),
)
def test_each_point_has_one_of_its_group_within_the_ratio(seed, columns, groups, most, cells):
    rng = np.random.default_rng(seed)
    first, costs = rng.integers(0, 20, 300) / 4.0, rng.lognormal(size=(300, columns))
    group = rng.integers(0, groups, 300)
    found = thinned(first, costs, group, most, cells=cells)
    for value, cost, number in zip(first, costs, group, strict=True):
        rows = found.rows[group[found.rows] == number]
        near = (first[rows] <= value) & (costs[rows] <= cost * found.ratio * (1 + 1e-9)).all(axis=1)
        assert near.any()


def test_the_more_points_stay_the_less_is_lost():
    rng = np.random.default_rng(0)
    costs = np.exp(rng.random((5000, 2)))
    first = -np.log(costs).sum(axis=1)
    few, many = (thinned(first, costs, np.zeros(5000, dtype=int), most) for most in (30, 300))
    assert len(few.rows) <= 30 + 2
    assert 100 < len(many.rows) <= 300 + 2
    assert (many.ratio < few.ratio).all()
    assert many.ratio.max() < 1.2


def test_in_each_group_the_points_of_least_loss_and_of_least_cost_stay():
    rng = np.random.default_rng(1)
    first, costs, group = rng.random(400), rng.random((400, 2)) + 1, rng.integers(0, 2, 400)
    found = thinned(first, costs, group, 6)
    for number in range(2):
        own, rows = group == number, found.rows[group[found.rows] == number]
        assert first[rows].min() == first[own].min()
        assert np.array_equal(costs[rows].min(axis=0), costs[own].min(axis=0))


@pytest.mark.parametrize(("cost", "ratio"), [(0.0, np.inf), (1.0, 1.0)])
def test_a_cost_of_nothing_has_no_ratio_unless_all_cost_the_same(cost, ratio):
    costs = np.array([[cost, 1.0], [1.0, 1.0], [1.0, 1.0]])
    found = thinned(np.array([3.0, 2.0, 1.0]), costs, np.zeros(3, dtype=int), 1)
    assert found.ratio.tolist() == [ratio, 1.0]
