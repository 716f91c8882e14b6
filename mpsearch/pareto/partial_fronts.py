"""The non-dominated points of each of many sets at once, one of each that are equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_BLOCK = 64  # points compared with all that follow at a time


def first_non_dominated(values: Floats, groups: Integers) -> Integers:
    """Rows that no other row of their group is at most as large as in every column; of equal rows, the first.

    Shape: values (P, M), M >= 1, minimised; groups (P,) -> (F,), in the order of the groups, and in each by
    the first column where there are at most two.
    """
    if values.shape[1] <= 2:
        return _staircases(values, groups)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    found = [part[_block_filter(values[part])] for part in np.split(order, starts[1:])]
    return np.concatenate(found) if found else order


def _staircases(values: Floats, groups: Integers) -> Integers:
    order: Integers = np.lexsort((*values.T[::-1], groups))
    group = groups[order]
    starts = np.diff(group, prepend=-1) != 0
    if values.shape[1] == 1:
        kept: Integers = order[starts]
        return kept
    # Ranks fall from group to group, so that a running minimum begins anew with each.
    _, rank = np.unique(values[order, 1], return_inverse=True)
    rank = rank - np.cumsum(starts) * len(order)
    least = np.minimum.accumulate(rank)
    falls: Integers = order[starts | (rank < np.concatenate((least[:1], least[:-1])))]
    return falls


def _block_filter(values: Floats) -> Integers:
    """A point comes after all that dominate it once sorted by a growing function of all columns."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    waiting = np.lexsort((*values.T[::-1], scaled.sum(axis=1)))
    columns = values[waiting].T.copy()
    kept = []
    while len(waiting):
        block = columns[:, :_BLOCK]
        below = np.tri(block.shape[1], k=-1, dtype=bool)
        for column in block:
            below &= column[None, :] <= column[:, None]
        best = ~below.any(axis=1)
        kept.append(waiting[:_BLOCK][best])
        waiting, columns = waiting[_BLOCK:], columns[:, _BLOCK:]
        worse = np.ones((int(best.sum()), len(waiting)), dtype=bool)
        for column, rest in zip(block[:, best], columns, strict=True):
            worse &= column[:, None] <= rest[None, :]
        left = ~worse.any(axis=0)
        waiting, columns = waiting[left], columns[:, left]
    return np.concatenate(kept)
