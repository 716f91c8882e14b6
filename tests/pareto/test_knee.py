import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.knee import knee_index


def test_the_corner_of_a_bent_front_is_its_knee():
    assert knee_index([[0, 1], [0.1, 0.15], [0.5, 0.1], [1, 0]]) == 1


def test_units_do_not_matter():
    points = np.array([[0, 1], [0.1, 0.15], [0.5, 0.1], [1, 0]])
    assert knee_index(points * [1e-6, 1e9] + [5, -3]) == 1


def test_one_point_is_its_own_knee_and_of_two_the_first():
    assert knee_index([[3, 4, 5]]) == 0
    assert knee_index([[0, 1], [1, 0]]) == 0
    assert knee_index([[1, 0], [0, 1]]) == 0


def test_an_objective_in_which_all_points_are_equal_does_not_count():
    assert knee_index([[0, 7, 1], [0.1, 7, 0.15], [1, 7, 0]]) == 1
    assert knee_index([[7, 7], [7, 7]]) == 0


def test_costs_that_share_an_extreme_count_together():
    # The same front with its cost written twice bends at the same point.
    one = np.array([[0.0, 1.0], [0.3, 0.3], [0.55, 0.1], [1.0, 0.0]])
    assert knee_index(np.column_stack([one, one[:, 1]])) == knee_index(one)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(0, 1)))
def test_the_knee_is_a_row_of_any_front(points):
    front = points[non_dominated(points)]
    assert 0 <= knee_index(front) < len(front)


@pytest.mark.parametrize("points", [np.empty((0, 2)), [[np.nan, 1]], [[np.inf, 1]]])
def test_no_points_and_points_that_are_not_finite_are_rejected(points):
    with pytest.raises(ConfigError):
        knee_index(points)


def test_a_list_of_numbers_is_rejected():
    with pytest.raises(ShapeError):
        knee_index([1, 2])
