import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.pareto.hypervolume import hypervolume


def sets_of_points(objectives, size=14):
    coarse = st.sampled_from(
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    )  # ties, duplicates, points beyond the reference
    fine = st.floats(0, 1.2, allow_subnormal=False)
    return hnp.arrays(
        np.float64, st.tuples(st.integers(1, size), st.just(objectives)), elements=coarse | fine
    )


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 6))
def test_it_equals_an_independent_library(data, objectives):
    points = data.draw(sets_of_points(objectives))
    reference = np.ones(objectives)
    below = points[(points < reference).all(axis=1)]
    # moocore refuses one objective, where the measure is a length.
    if objectives == 1:
        expected = float(1 - below.min()) if len(below) else 0.0
    else:
        expected = moocore.hypervolume(below, ref=reference) if len(below) else 0.0
    assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5, 6])
def test_it_equals_an_independent_library_on_a_large_front(objectives):
    rng = np.random.default_rng(objectives)
    points = rng.random((60, objectives)) ** 0.5
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    reference = np.full(objectives, 1.1)
    assert hypervolume(points, reference) == pytest.approx(
        moocore.hypervolume(points, ref=reference), rel=1e-9
    )


@settings(deadline=None)
@given(st.data(), st.integers(1, 4))
def test_one_more_point_never_takes_volume_away(data, objectives):
    points = data.draw(sets_of_points(objectives, size=8))
    assert hypervolume(points, np.ones(objectives)) >= hypervolume(points[:-1], np.ones(objectives)) - 1e-12


def test_no_point_dominates_nothing():
    assert hypervolume(np.empty((0, 3)), [1, 1, 1]) == 0


def test_shapes_that_do_not_fit_are_rejected():
    with pytest.raises(ShapeError, match=r"M in 1..6"):
        hypervolume([[1, 2]], [1, 2, 3])
    with pytest.raises(ShapeError, match=r"M in 1..6"):
        hypervolume(np.zeros((1, 7)), np.ones(7))


@pytest.mark.parametrize(("points", "reference"), [([[0, np.nan]], [1, 1]), ([[0, 0]], [1, np.inf])])
def test_nan_and_infinite_references_are_rejected(points, reference):
    with pytest.raises(ConfigError):
        hypervolume(points, reference)


def test_infinitely_good_points_are_rejected():
    with pytest.raises(ConfigError, match="-infinity"):
        hypervolume([[-np.inf, 0]], [1, 1])
