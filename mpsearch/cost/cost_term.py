"""A part of a policy's costs that depends on a few layers, and sums of many such parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COST_COLUMNS = ("latency_s", "latency_p95_s", "latency_p99_s", "memory_bytes", "energy_j", "compressed_bytes")
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_BLOCK_ENTRIES = 2048  # six columns of them fit an L2 cache
_CHUNK = 4096  # policies at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTerm:
    """costs = table[sum over i of offsets[i][code of layers[i]]]

    Shape: offsets[i] (schemes of layers[i],); table (E, 6), columns as `COST_COLUMNS`; entries that no codes
    lead to are NaN.
    """

    layers: tuple[int, ...]
    offsets: tuple[Integers, ...]
    table: Floats

    def entry(self, codes: Sequence[int] | Integers) -> int:
        """Where the codes (L,) of a policy lead."""
        return sum(int(column[codes[layer]]) for layer, column in zip(self.layers, self.offsets, strict=True))

    @property
    def combinations(self) -> int:
        return math.prod(len(column) for column in self.offsets)


class CostSum:
    """The sum of terms, for many policies at a time.

    Neighbouring terms are joined into blocks with a dense table over all codes of their layers, so that one
    look-up serves several layers.
    """

    def __init__(self, terms: Sequence[CostTerm], constant: Floats, sizes: Sequence[int]) -> None:
        self._constant = constant
        self._sizes = np.array(sizes, dtype=np.int64)
        self._blocks = [_transposed(block) for block in _joined(terms, sizes)]

    def evaluate(self, codes: NDArray[np.integer]) -> tuple[Floats, bool]:
        """Costs (P, 6) of codes (P, L), and whether all codes were in range; memory stays O(P)."""
        costs = np.empty((len(codes), len(COST_COLUMNS)))
        columns = np.empty((codes.shape[1], min(_CHUNK, len(codes))), dtype=np.intp)
        for start in range(0, len(codes), _CHUNK):
            rows = codes[start : start + _CHUNK]
            block_codes = columns[:, : len(rows)]
            block_codes[:] = rows.T
            if rows.size and ((block_codes.max(1) >= self._sizes).any() or block_codes.min() < 0):
                return costs, False
            costs[start : start + _CHUNK] = self._of_chunk(block_codes).T
        return costs, True

    def _of_chunk(self, codes: NDArray[np.intp]) -> Floats:
        count = codes.shape[1]
        total = np.repeat(self._constant[:, None], count, axis=1)
        part = np.empty(count)
        entry, step = np.empty(count, dtype=np.intp), np.empty(count, dtype=np.intp)
        for layers, offsets, columns in self._blocks:
            entry[:] = 0
            for layer, column in zip(layers, offsets, strict=True):
                if isinstance(column, int):
                    np.multiply(codes[layer], column, out=step)
                else:
                    np.take(column, codes[layer], out=step, mode="clip")
                np.add(entry, step, out=entry)
            for cost, values in columns:
                np.take(values, entry, out=part, mode="clip")
                np.add(total[cost], part, out=total[cost])
        return total


_Block = tuple[tuple[int, ...], list[int | Integers], list[tuple[int, Floats]]]


def _transposed(term: CostTerm) -> _Block:
    """The columns that are not zero everywhere, each contiguous; offsets as a stride where they are one."""
    columns = [
        (cost, np.ascontiguousarray(term.table[:, cost]))
        for cost in range(term.table.shape[1])
        if np.any(term.table[:, cost] != 0)
    ]
    offsets: list[int | Integers] = []
    for column in term.offsets:
        stride = int(column[1]) if len(column) > 1 else 0
        is_stride = np.array_equal(column, stride * np.arange(len(column)))
        offsets.append(stride if is_stride else column.astype(np.intp))
    return term.layers, offsets, columns


def _joined(terms: Sequence[CostTerm], sizes: Sequence[int]) -> list[CostTerm]:
    """Terms in turn, put together while the product of their layers' codes stays small."""
    blocks: list[CostTerm] = []
    scope: list[int] = []
    members: list[CostTerm] = []
    for term in sorted(terms, key=lambda term: (min(term.layers), len(term.layers))):
        if term.combinations > _BLOCK_ENTRIES:
            blocks.append(term)
            continue
        union = [*scope, *(layer for layer in term.layers if layer not in scope)]
        if math.prod(sizes[layer] for layer in union) > _BLOCK_ENTRIES:
            blocks.append(_dense(members, scope, sizes))
            union, members = list(term.layers), []
        scope = union
        members.append(term)
    if members:
        blocks.append(_dense(members, scope, sizes))
    return blocks


def _dense(terms: Sequence[CostTerm], scope: Sequence[int], sizes: Sequence[int]) -> CostTerm:
    grid = np.indices([sizes[layer] for layer in scope]).reshape(len(scope), -1)
    table = np.zeros((grid.shape[1], len(COST_COLUMNS)))
    for term in terms:
        entries = sum(
            column[grid[scope.index(layer)]] for layer, column in zip(term.layers, term.offsets, strict=True)
        )
        table += term.table[entries]
    strides = [math.prod(sizes[layer] for layer in scope[place + 1 :]) for place in range(len(scope))]
    return CostTerm(
        layers=tuple(scope),
        offsets=tuple(stride * np.arange(sizes[layer]) for layer, stride in zip(scope, strides, strict=True)),
        table=table,
    )
