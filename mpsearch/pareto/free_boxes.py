"""The part of objective space that a front leaves free, as boxes that do not overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.errors import ShapeError
from mpsearch.pareto.dominance import checked_points, non_dominated

Floats = NDArray[np.float64]


def free_boxes(points: ArrayLike, lower: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    """Disjoint boxes that fill { z : lower <= z <= reference, p <= z for no p in points }, all minimised.

    A new point z adds to the hypervolume the sum over boxes of prod_j max(0, high_j - max(low_j, z_j)).

    Shape: points (P, M); lower and reference (M,) -> lows and highs (B, M).
    Raises: ShapeError if shapes do not fit.
    Source: Lacour, Klamroth and Fonseca 2017, doi:10.1016/j.cor.2016.09.008, applied twice: the corners that
        bound the free part are points that dominate it when looked at from `lower`.
    """
    values = checked_points(points)
    floor, corner = np.asarray(lower, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if floor.shape != values.shape[1:] or corner.shape != values.shape[1:]:
        raise ShapeError(
            f"`points` (P, M), `lower` (M,) and `reference` (M,) must share M; got {values.shape}, "
            f"{floor.shape} and {corner.shape}."
        )
    inside = np.maximum(values[(values < corner).all(axis=1)], floor)
    corners, _ = _upper_bounds(np.unique(inside[non_dominated(inside)], axis=0), corner)
    corners = corners[(corners > floor).all(axis=1)]
    flipped = -corners
    bounds, defining = _upper_bounds(flipped[non_dominated(flipped)], -floor)
    lows, highs = _dominated_boxes(bounds, defining, -floor)
    is_there = (lows < highs).all(axis=1)
    return -highs[is_there], -lows[is_there]


def _upper_bounds(points: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Local upper bounds of the region that `points` leave free, and the points that define each.

    Shape: points (P, M) -> bounds (U, M), defining (U, M, M): row j defines coordinate j.
    """
    size = len(reference)
    bounds = reference[None].copy()
    defining = np.full((1, size, size), -np.inf)
    defining[0][np.diag_indices(size)] = reference
    for point in points[np.lexsort(points.T[::-1])]:
        is_hit = (point < bounds).all(axis=1)
        hit, by = bounds[is_hit], defining[is_hit]
        fresh_bounds, fresh_defining = [bounds[~is_hit]], [defining[~is_hit]]
        for j in range(size):
            # The greatest coordinate j of the other defining points: below it the new bound is redundant. Of
            # equals the later point counts as the greater, or bounds that share coordinates would get lost.
            others = np.delete(by, j, axis=1)[:, :, j].max(axis=1, initial=-np.inf)
            kept = point[j] >= others
            moved, moved_by = hit[kept].copy(), by[kept].copy()
            moved[:, j] = point[j]
            moved_by[:, j] = point
            fresh_bounds.append(moved)
            fresh_defining.append(moved_by)
        bounds, defining = np.concatenate(fresh_bounds), np.concatenate(fresh_defining)
    return bounds, defining


def _dominated_boxes(bounds: Floats, defining: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """The dominated region as one box a local upper bound: see Lacour et al., section 4."""
    lows, highs = bounds.copy(), bounds.copy()
    highs[:, 0] = reference[0]
    for j in range(1, bounds.shape[1]):
        lows[:, j] = defining[:, :j, j].max(axis=1)
    return lows, highs
