"""Few points that nearly dominate all others: the best of each cell of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_CELLS = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thinned:
    """`rows` (F,) stand for all: to each point there is one of its group with a `first` at most as large and
    every cost at most `ratio` (K,) times as large.

    `cells`: how many to begin with where points of the same kind are to be thinned to as many.
    """

    rows: Integers
    ratio: Floats
    cells: int


def thinned(first: Floats, costs: Floats, groups: Integers, most: int, *, cells: int = MOST_CELLS) -> Thinned:
    """Few points, at most `most` beside those of least cost in each group, that stand for all of their group.

    Costs are cut into cells whose borders grow by a constant factor. Of each cell the point of least `first`
    stays, unless a cell that is nowhere higher has one as low; the cells, `cells` at first, grow until that
    is few enough. A cost that reaches down to 0 or below has cells of equal width, and an infinite `ratio`.

    Shape: first (P,); costs (P, K), P >= 1; groups (P,). All are minimised.
    Source: Papadimitriou and Yannakakis 2000, doi:10.1109/SFCS.2000.892068 (epsilon-approximate fronts);
        Laumanns et al. 2002, doi:10.1162/106365602760234108 (one point a box).
    """
    group = np.unique(groups, return_inverse=True)[1] if groups.any() else groups
    count = int(group.max()) + 1
    low, high = costs.min(axis=0), costs.max(axis=0)
    is_positive = low > 0
    scaled = np.where(is_positive, np.log(np.where(is_positive, costs, 1.0)), costs)
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    varying = np.flatnonzero(high > low)
    share = (scaled[:, varying] - low[varying]) / (high - low)[varying]
    descending = np.argsort(-first, kind="stable")
    cheapest = _cheapest(costs[:, varying], descending, group, count)
    axes = max(1, len(varying))
    side = max(1, int((min(cells, MOST_CELLS) / count) ** (1 / axes)))
    while True:
        places = np.column_stack((group, np.minimum((share * side).astype(np.int64), side - 1)))
        rows = _best_of_cells(first, descending, places, (count, *[side] * len(varying)))
        if len(rows) <= most or side == 1:
            break
        side = max(1, int(side * min(0.9, (most / len(rows)) ** (1 / axes))))
    width = (high - low) / side
    return Thinned(
        rows=np.unique(np.concatenate((rows, cheapest))),
        ratio=np.where(is_positive, np.exp(width), np.where(width > 0, np.inf, 1.0)),
        cells=int(count * side**axes * 0.9 * most / len(rows)) + 1,
    )


def _cheapest(costs: Floats, descending: Integers, group: Integers, count: int) -> Integers:
    """In each group, of the points of least cost that of least `first`; for each cost."""
    found = [np.zeros(0, dtype=np.int64)]
    for cost in costs.T:
        least = np.full(count, np.inf)
        np.minimum.at(least, group, cost)
        at_least = descending[(cost == least[group])[descending]]
        owner = np.zeros(count, dtype=np.int64)
        owner[group[at_least]] = at_least  # of several that are written to a place, the last stays
        found.append(owner)
    return np.concatenate(found)


def _best_of_cells(first: Floats, descending: Integers, places: Integers, shape: tuple[int, ...]) -> Integers:
    """The best of each cell that no cell lower in some cost is as good as. Shape: places (P, 1 + K)."""
    cell = np.ravel_multi_index(tuple(places.T), shape)
    owner = np.full(math.prod(shape), -1)
    owner[cell[descending]] = descending
    best = np.where(owner >= 0, first[owner], np.inf).reshape(shape)
    reached = best
    for axis in range(1, len(shape)):
        reached = np.minimum.accumulate(reached, axis=axis)
    below = np.full(shape, np.inf)
    for axis in range(1, len(shape)):
        later = (slice(None),) * axis + (slice(1, None),)
        earlier = (slice(None),) * axis + (slice(None, -1),)
        below[later] = np.minimum(below[later], reached[earlier])
    return owner[(best < below).ravel()]
