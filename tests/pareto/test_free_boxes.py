import numpy as np
import pytest

from mpsearch.errors import ShapeError
from mpsearch.pareto.free_boxes import free_boxes
from mpsearch.pareto.hypervolume import hypervolume


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", [0, 5], ids=["anywhere", "on a grid, with ties"])
def test_a_new_point_gains_what_the_hypervolume_grows_by(objectives, grid):
    generator = np.random.default_rng(objectives)
    corner = np.ones(objectives)
    for _ in range(40):
        points = generator.random((int(generator.integers(0, 10)), objectives))
        new = generator.random(objectives)
        if grid:
            points, new = np.round(points * grid) / grid, np.round(new * grid) / grid
        lows, highs = free_boxes(points, np.full(objectives, -0.1), corner)
        gained = np.maximum(0, highs - np.maximum(lows, new)).prod(axis=1).sum()
        before = hypervolume(points, corner) if len(points) else 0.0
        assert gained == pytest.approx(hypervolume(np.vstack([points, new]), corner) - before, abs=1e-12)


def test_boxes_do_not_overlap_and_leave_the_front_out():
    generator = np.random.default_rng(0)
    points = generator.random((12, 3))
    lows, highs = free_boxes(points, np.zeros(3), np.ones(3))
    probes = generator.random((2000, 3))
    holding = ((lows[:, None] <= probes) & (probes < highs[:, None])).all(axis=2).sum(axis=0)
    is_dominated = (points[:, None] <= probes).all(axis=2).any(axis=0)
    assert (holding == ~is_dominated).all()


def test_a_front_beyond_the_reference_leaves_everything_free():
    lows, highs = free_boxes([[2.0, 2.0]], [0.0, 0.0], [1.0, 1.0])
    assert (lows.tolist(), highs.tolist()) == ([[0.0, 0.0]], [[1.0, 1.0]])


def test_shapes_must_fit():
    with pytest.raises(ShapeError, match="share M"):
        free_boxes([[1.0, 2.0]], [0.0], [1.0, 1.0])
