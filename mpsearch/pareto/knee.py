"""The point of a front that gives the most of everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import checked_points


def knee_index(points: ArrayLike) -> int:
    """Row at which a plane that falls equally in every objective touches the front: argmin of the row sums.

    From there, a step along the front loses more of one objective than it gains in the others together.
    The objectives must share one scale on which a step of the same size matters the same, such as shares of
    the whole range that was possible. Scaling by the front's own range, as is usual, would let an objective
    that hardly varies on the front buy the whole range of another.

    Ties go to the first row (within rounding).

    Shape: points (P, M), minimised, mutually non-dominated, finite.
    Raises: ShapeError if it is not two-dimensional; ConfigError if it is empty or not finite.
    Source: the bend of Das 1999, "On characterizing the knee of the Pareto curve", Structural Optimization
        18, with a fixed plane in place of that through the front's extremes.
    """
    values = checked_points(points)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ConfigError(f"A knee needs at least one point and finite values; got {len(values)} points.")
    sums = values.sum(axis=1)
    return int(np.flatnonzero(sums <= sums.min() + 1e-12)[0])
