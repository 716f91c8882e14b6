"""The volume that a set of points dominates."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.errors import ConfigError, ShapeError
from mpsearch.pareto.dominance import checked_points, non_dominated

MAX_OBJECTIVES = 6


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Exact Lebesgue measure of { z : p <= z <= reference for some p in points }, all objectives minimised.

    A point that is not below the reference in every objective adds nothing. Up to three objectives by a
    sweep in O(P log P) to O(P^2); more by exclusive volumes, exponential in the worst case but fast
    for the few hundred points of a front.

    Shape: points (P, M), M in 1..6; reference (M,).
    Units: the product of the objectives' units.
    Raises: ShapeError if shapes do not fit; ConfigError for NaN, an infinite reference or infinitely good
        points.
    Source: While, Bradstreet and Barone 2012 (WFG), doi:10.1109/TEVC.2010.2077298.
    """
    values = checked_points(points)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != values.shape[1:] or not 1 <= values.shape[1] <= MAX_OBJECTIVES:
        raise ShapeError(
            f"`points` (P, M) and `reference` (M,) must share M in 1..{MAX_OBJECTIVES}; "
            f"got {values.shape} and {corner.shape}."
        )
    if not np.isfinite(corner).all() or np.isneginf(values).any():
        raise ConfigError(f"The reference must be finite and no objective -infinity; got {corner}.")
    inside = values[(values < corner).all(axis=1)]
    gains = corner - inside  # maximised from here on, the reference at the origin
    return _volume(gains[non_dominated(-gains)])


def _volume(gains: NDArray[np.float64]) -> float:
    """Volume between the origin and mutually non-dominated gains (P, M), larger being better."""
    if len(gains) == 0:
        return 0.0
    if len(gains) == 1:
        return float(gains[0].prod())
    if gains.shape[1] == 1:
        return float(gains.max())
    if gains.shape[1] == 2:
        return _area(gains)
    if gains.shape[1] == 3:
        return _sweep(gains)
    # Best in the last objective first: limiting to a later point then flattens that objective.
    ordered = gains[np.argsort(-gains[:, -1], kind="stable")]
    return sum(_exclusive(ordered[: i + 1]) for i in range(len(ordered)))


def _exclusive(gains: NDArray[np.float64]) -> float:
    """Volume that only the last of `gains` dominates; the others are no worse in the last objective."""
    point = gains[-1]
    limited = np.minimum(gains[:-1], point)[:, :-1]
    shadow = _volume(limited[non_dominated(-limited)]) if len(limited) else 0.0
    return float(point[-1] * (point[:-1].prod() - shadow))


def _area(gains: NDArray[np.float64]) -> float:
    ordered = gains[np.argsort(-gains[:, 0], kind="stable")]
    widths, heights = ordered[:, 0], np.maximum.accumulate(ordered[:, 1])
    return float((widths * np.diff(heights, prepend=0.0)).sum())


def _sweep(gains: NDArray[np.float64]) -> float:
    """Three objectives: walk down the last one and grow a staircase of the first two."""
    volume = area = 0.0
    level = float(gains[:, 2].max())
    # The staircase: `lefts` ascending and `lows` descending are -gains, as bisect wants ascending order.
    lefts: list[float] = []
    lows: list[float] = []
    for x, y, z in (-gains[np.argsort(-gains[:, 2], kind="stable")]).tolist():
        volume += area * (level + z)
        level = -z
        start = bisect_left(lefts, x)
        above = lows[start - 1] if start else 0.0
        if above <= y or (start < len(lefts) and lefts[start] == x and lows[start] <= y):
            continue
        end, left = start, x
        while end < len(lefts) and lows[end] >= y:
            area += (lefts[end] - left) * (above - y)
            left, above = lefts[end], lows[end]
            end += 1
        area += ((lefts[end] if end < len(lefts) else 0.0) - left) * (above - y)
        lefts[start:end] = [x]
        lows[start:end] = [y]
    return volume + area * level
