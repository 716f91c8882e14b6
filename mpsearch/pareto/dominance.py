"""Which points no other point beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpsearch.errors import ConfigError, ShapeError


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """True where no other point is at most as large in every objective and smaller in one.

    All objectives are minimised. Equal points do not dominate each other: duplicates are all kept.

    Shape: points (P, M) -> (P,).
    Raises: ShapeError if it is not two-dimensional; ConfigError if a value is NaN.
    """
    values = checked_points(points)
    kept = np.zeros(len(values), dtype=bool)
    # A point comes after all that dominate it in lexicographic order, and next to its equals: one pass
    # against those kept is enough.
    order = np.lexsort(values.T[::-1]) if values.shape[1] else np.arange(len(values))
    ordered = values[order]
    is_repeated = (ordered[1:] == ordered[:-1]).all(axis=1).tolist()
    front = np.empty_like(values)
    size = 0
    for place, index in enumerate(order.tolist()):
        if place and is_repeated[place - 1]:
            kept[index] = kept[order[place - 1]]
        elif not (front[:size] <= ordered[place]).all(axis=1).any():
            kept[index] = True
            front[size] = ordered[place]
            size += 1
    return kept


def dominates(points: ArrayLike, others: ArrayLike) -> NDArray[np.bool_]:
    """True where a point is at most as large as the other in every objective and smaller in one.

    Shape: points and others (..., M), broadcast -> (...).
    """
    left, right = np.asarray(points), np.asarray(others)
    return np.asarray((left <= right).all(axis=-1) & (left < right).any(axis=-1))


def checked_points(points: ArrayLike) -> NDArray[np.float64]:
    """As float64, (P, M).

    Raises: ShapeError if it is not two-dimensional; ConfigError if a value is NaN.
    """
    try:
        values = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"`points` must be a (P, M) array of numbers; got {type(points).__name__}."
        ) from error
    if values.ndim != 2:
        raise ShapeError(f"`points` must have shape (P, M), one row a point; got shape {values.shape}.")
    if np.isnan(values).any():
        row = int(np.isnan(values).any(axis=1).argmax())
        raise ConfigError(f"Points must not hold NaN; row {row} is {values[row]}. Leave failed trials out.")
    return values
