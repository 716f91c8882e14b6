"""How far apart the points of a front lie."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def crowding_distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far apart the neighbours of each point lie, summed over the objectives; infinite at the ends.

    Distances are shares of the points' range in each objective; one in which all are equal adds nothing.

    Shape: points (P, M) -> (P,).
    Source: Deb et al. 2002, 10.1109/4235.996017.
    """
    distance = np.zeros(len(points))
    for column in points.T:
        by_value = np.argsort(column, kind="stable")
        span = column[by_value[-1]] - column[by_value[0]]
        if span > 0:
            distance[by_value[[0, -1]]] = math.inf
            distance[by_value[1:-1]] += (column[by_value[2:]] - column[by_value[:-2]]) / span
    return distance
