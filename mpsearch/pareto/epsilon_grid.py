"""Few points that nearly dominate all others: the best of each cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_MOST_CELLS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thinned:
    """`rows` (F,) stand for all: to each point there is one of its group with a first column at most as
    large and every other at most `ratio` (M,) times as large.
    """

    rows: Integers
    ratio: Floats


def thinned(values: Floats, groups: Integers, most: int) -> Thinned:
    """At most about `most` points that stand for all of their group.

    Columns but the first are cut into cells whose borders grow by a constant factor. Of each cell the point
    of least first column stays, unless a cell that is nowhere higher has one as low. A column that reaches
    down to 0 or below has cells of equal width, and an infinite `ratio`.

    Shape: values (P, M), M >= 2, minimised; groups (P,).
    Source: Papadimitriou and Yannakakis 2000, doi:10.1109/SFCS.2000.892068 (epsilon-approximate fronts);
        Laumanns et al. 2002, doi:10.1162/106365602760234108 (one point a box).
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    axes = values.shape[1] - 1
    low, high = values[:, 1:].min(axis=0), values[:, 1:].max(axis=0)
    is_positive = low > 0
    costs = np.where(is_positive, np.log(np.where(is_positive, values[:, 1:], 1.0)), values[:, 1:])
    low, high = costs.min(axis=0), costs.max(axis=0)
    share = (costs - low) / np.where(high > low, high - low, 1.0)
    descending = np.argsort(-values[:, 0], kind="stable")
    side = max(2, int((_MOST_CELLS / count) ** (1 / axes)))
    while True:
        rows = _best_of_cells(values[:, 0], descending, np.minimum(share * side, side - 1), group, side)
        if len(rows) <= most or side == 1:
            break
        side = max(1, int(side * min(0.9, (most / len(rows)) ** (1 / axes))))
    width = (high - low) / side
    ratio = np.where(is_positive, np.exp(width), np.where(width > 0, np.inf, 1.0))
    return Thinned(rows=rows, ratio=np.concatenate(([1.0], ratio)))


def _best_of_cells(
    first: Floats, descending: Integers, places: Floats, group: Integers, side: int
) -> Integers:
    shape = (int(group.max()) + 1, *[side] * places.shape[1])
    cell = group
    for column in places.astype(np.int64).T:
        cell = cell * side + column
    owner = np.full(int(np.prod(shape)), -1)
    owner[cell[descending]] = descending  # of several that are written to a cell, the last stays
    best = np.where(owner >= 0, first[owner], np.inf).reshape(shape)
    below = np.full(shape, np.inf)
    reached = best
    for axis in range(1, len(shape)):
        reached = np.minimum.accumulate(reached, axis=axis)
    for axis in range(1, len(shape)):
        later, earlier = [slice(None)] * len(shape), [slice(None)] * len(shape)
        later[axis], earlier[axis] = slice(1, None), slice(None, -1)
        below[tuple(later)] = np.minimum(below[tuple(later)], reached[tuple(earlier)])
    return owner[(best < below).ravel()]
