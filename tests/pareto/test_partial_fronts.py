"""Fronts of many sets at once, against the pairwise definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.partial_fronts import first_non_dominated


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 5),
    points=st.integers(0, 200),
    groups=st.integers(1, 4),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_each_point_of_each_front_is_there_once(seed, columns, points, groups, levels):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels, (points, columns)).astype(float)
    group = rng.integers(0, groups, points)
    rows = first_non_dominated(values, group)
    assert len(set(rows.tolist())) == len(rows)
    for number in range(groups):
        own = values[group == number]
        wanted = np.unique(own[non_dominated(own)], axis=0) if len(own) else own
        found = values[rows[group[rows] == number]]
        assert len(found) == len(wanted)
        assert np.array_equal(np.unique(found, axis=0), wanted)


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_rows_come_in_the_order_of_their_groups(columns):
    rng = np.random.default_rng(columns)
    group = rng.integers(0, 5, 300)
    rows = first_non_dominated(rng.random((300, columns)), group)
    assert (np.diff(group[rows]) >= 0).all()
