import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.pareto.dominance import dominates, non_dominated

# Few distinct values, so that ties and duplicates occur.
fronts = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 25), st.integers(1, 4)),
    elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf]),
)


@given(fronts)
def test_a_point_is_kept_exactly_when_no_point_dominates_it(points):
    expected = [not any(dominates(a, b) for a in points) for b in points]
    assert non_dominated(points).tolist() == expected


def test_a_point_dominates_what_is_worse_somewhere_and_better_nowhere():
    assert dominates([[1, 2], [0, 3], [1, 3]], [1, 3]).tolist() == [True, True, False]
    assert not dominates([0, 4], [1, 3])


@given(fronts, st.randoms())
def test_the_order_of_the_points_does_not_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    assert (non_dominated(points[order]) == non_dominated(points)[order]).all()


def test_duplicates_are_all_kept():
    assert non_dominated([[1, 2], [1, 2], [2, 1], [2, 2]]).tolist() == [True, True, True, False]


def test_nan_is_rejected_with_its_row():
    with pytest.raises(ConfigError, match=r"row 1 is"):
        non_dominated([[1, 2], [np.nan, 0]])


@pytest.mark.parametrize("points", [[1, 2], 3, [[[1]]], [["a"]]])
def test_what_is_not_a_table_of_numbers_is_rejected(points):
    with pytest.raises(ShapeError, match=r"\(P, M\)"):
        non_dominated(points)
