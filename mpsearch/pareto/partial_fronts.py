"""The non-dominated points of each of many sets at once, one of each that are equal."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_BLOCK = 64  # points compared with all that follow at a time


def first_non_dominated(values: Floats, groups: Integers) -> Integers:
    """Rows that no other row of their group is at most as large as in every column; of equal rows, one.

    Shape: values (P, M), M >= 1, minimised; groups (P,) -> (F,), in the order of the groups.
    """
    if values.shape[1] <= 2 or not len(values):
        return _staircases(values, groups)
    select = _sweep if values.shape[1] == 3 else _block_filter
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return np.concatenate([part[select(values[part])] for part in np.split(order, starts[1:])])


def _staircases(values: Floats, groups: Integers) -> Integers:
    order: Integers = np.lexsort((*values.T[::-1], groups))
    is_first = np.diff(groups[order], prepend=-1) != 0
    if values.shape[1] == 1:
        alone: Integers = order[is_first]
        return alone
    last = values[order, 1]
    if is_first.sum() > 1:
        # Ranks that fall from group to group: a running minimum begins anew with each.
        _, ranks = np.unique(last, return_inverse=True)
        last = ranks - np.cumsum(is_first) * len(order)
    least = np.minimum.accumulate(last)
    stairs: Integers = order[is_first | (last < np.concatenate((least[:1], least[:-1])))]
    return stairs


def _sweep(values: Floats) -> Integers:
    """Of three columns: in the order of the first, against the stairs of the other two.

    Source: Kung, Luccio and Preparata 1975, doi:10.1145/321906.321910.
    """
    order: Integers = np.lexsort(values.T[::-1])
    seconds: list[float] = []
    thirds: list[float] = []
    kept = []
    for place, (second, third) in enumerate(values[order, 1:].tolist()):
        start = bisect_right(seconds, second)
        if start and thirds[start - 1] <= third:
            continue
        if start and seconds[start - 1] == second:
            start -= 1
        end = start
        while end < len(thirds) and thirds[end] >= third:
            end += 1
        seconds[start:end] = [second]
        thirds[start:end] = [third]
        kept.append(place)
    swept: Integers = order[kept]
    return swept


def _block_filter(values: Floats) -> Integers:
    """A point comes after all that dominate it, once sorted by a function that grows in every column."""
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
