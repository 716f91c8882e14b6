"""The point of a front where giving up more of one objective starts to buy little of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import checked_points


def knee_index(points: ArrayLike) -> int:
    """Row of the point farthest below the hyperplane through the extremes of the normalised front.

    Each objective is scaled to 0 (best of the front) .. 1 (worst); the extremes e_i are the best points of
    each objective, n solves n . e_i = 1 (least norm where several objectives share an extreme, as latency
    and memory often do), and the knee maximises (1 - n . x) / |n|. Where the extremes fix no plane that
    falls in every objective, n = (1, ..., 1). Objectives in which all points are equal do not count.

    One point is its own knee. Two points are both extremes, at distance 0: the first row wins, as it does
    in every tie.

    Shape: points (P, M), minimised, mutually non-dominated, finite.
    Raises: ShapeError if it is not two-dimensional; ConfigError if it is empty or not finite.
    Source: Das 1999, "On characterizing the knee of the Pareto curve", Structural Optimization 18.
    """
    values = checked_points(points)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ConfigError(f"A knee needs at least one point and finite values; got {len(values)} points.")
    low, high = values.min(axis=0), values.max(axis=0)
    varies = high > low
    if not varies.any():
        return 0
    scaled = (values - low)[:, varies] / (high - low)[varies]
    normal = _normal(scaled)
    depth = (1 - scaled @ normal) / np.linalg.norm(normal)
    # Equal depths differ by rounding: the first within it wins.
    return int(np.flatnonzero(depth >= depth.max() - 1e-12)[0])


def _normal(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    total = scaled.sum(axis=1)
    # Of the points that share the best value of an objective, the one that is best in the rest.
    extremes = np.stack([scaled[np.lexsort((total, column))[0]] for column in scaled.T])
    ones = np.ones(len(extremes))
    normal = np.linalg.lstsq(extremes, ones, rcond=1e-9)[0]
    is_plane = np.allclose(extremes @ normal, 1, atol=1e-6) and (normal > 1e-9).all()
    return normal if is_plane else np.ones(scaled.shape[1])
