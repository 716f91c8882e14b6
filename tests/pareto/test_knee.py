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


def test_an_objective_that_hardly_varies_does_not_buy_another():
    # A hundredth of the one for a third of the other is no bargain, though it is the front's whole range.
    assert knee_index([[0.35, 0.15], [0.345, 0.3], [0.34, 0.48]]) == 0


def test_one_point_is_its_own_knee_and_of_equals_the_first():
    assert knee_index([[3, 4, 5]]) == 0
    assert knee_index([[0, 1], [1, 0]]) == 0
    assert knee_index([[7, 7], [7, 7]]) == 0


def test_an_objective_in_which_all_points_are_equal_does_not_count():
    assert knee_index([[0, 7, 1], [0.1, 7, 0.15], [1, 7, 0]]) == 1


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(0, 1)))
def test_leaving_the_knee_never_gains_more_than_it_loses(points):
    front = points[non_dominated(points)]
    chosen = front[knee_index(front)]
    losses, gains = np.maximum(front - chosen, 0).sum(1), np.maximum(chosen - front, 0).sum(1)
    assert (losses >= gains - 1e-9).all()


@pytest.mark.parametrize("points", [np.empty((0, 2)), [[np.nan, 1]], [[np.inf, 1]]])
def test_no_points_and_points_that_are_not_finite_are_rejected(points):
    with pytest.raises(ConfigError):
        knee_index(points)


def test_a_list_of_numbers_is_rejected():
    with pytest.raises(ShapeError):
        knee_index([1, 2])
