"""All non-dominated sums of factors with several costs each, by eliminating one choice after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.elimination import elimination_order
from mpsearch.errors import ConfigError
from mpsearch.pareto.epsilon_grid import thinned
from mpsearch.pareto.partial_fronts import first_non_dominated

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_MOST_SUMS = 1 << 24  # partial sums held at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartialSums:
    """For each assignment of `scope`, the sums that some codes of the choices already decided lead to.

    Shape: states (N,), the place of each sum's assignment in a table over `scope`; values (N, M); codes
    (N, C), 0 where a choice is not decided.
    """

    scope: tuple[int, ...]
    states: Codes
    values: Floats
    codes: NDArray[np.int16]


class ParetoElimination:
    """Minimises M sums of factors over all codes of the choices at once.

    The factors of a choice are added up for all codes of the choices that share a factor with it, and of the
    codes of the choice itself only those stay whose sums no other is better than. Exact on any graph; quick
    where it is nearly a chain or a tree.

    `factors`: (choices, table (*their sizes, M)). `sizes` (C,).

    Source: Nemhauser and Ullmann 1969, doi:10.1287/mnsc.15.9.494 (merging of partial sums); Rollon and
    Larrosa 2006, doi:10.1007/s10732-006-6726-y (multi-objective bucket elimination).
    """

    def __init__(
        self,
        factors: Sequence[tuple[tuple[int, ...], Floats]],
        sizes: Sequence[int],
        columns: int,
        *,
        most: int | None = None,
    ) -> None:
        self._most = most
        self._sizes = [int(size) for size in sizes]
        self._order = elimination_order([choices for choices, _ in factors], self._sizes)
        self._columns = columns
        turn = {choice: place for place, choice in enumerate(self._order)}
        self._buckets: list[list[PartialSums]] = [[] for _ in self._order]
        self._whole = [self._of_table((), np.zeros((1, columns)))]
        for choices, table in factors:
            sums = self._of_table(choices, table.reshape(-1, columns))
            place = min((turn[choice] for choice in choices), default=None)
            (self._whole if place is None else self._buckets[place]).append(sums)
        self._turn = turn

    def run(self) -> PartialSums:
        """The non-dominated sums over all codes."""
        waiting = [list(bucket) for bucket in self._buckets]
        whole = list(self._whole)
        for choice, bucket in zip(self._order, waiting, strict=True):
            if not bucket:
                continue
            sums = bucket[0]
            for other in bucket[1:]:
                sums = self._joined(sums, other, sums.scope + other.scope)
            sums = self._joined(sums, self._whole[0], tuple(c for c in sums.scope if c != choice))
            if sums.scope:
                waiting[min(self._turn[c] for c in sums.scope)].append(sums)
            else:
                whole.append(sums)
        sums = whole[0]
        for other in whole[1:]:
            sums = self._joined(sums, other, ())
        return sums

    def _of_table(self, scope: tuple[int, ...], table: Floats) -> PartialSums:
        codes = np.zeros((len(table), len(self._sizes)), dtype=np.int16)
        stride = len(table)
        for choice in scope:
            stride //= self._sizes[choice]
            codes[:, choice] = np.arange(len(table)) // stride % self._sizes[choice]
        return PartialSums(scope=scope, states=np.arange(len(table)), values=table, codes=codes)

    def _joined(self, left: PartialSums, right: PartialSums, scope: Sequence[int]) -> PartialSums:
        """The sums of two that agree; for each assignment of `scope` those that are not dominated."""
        shared = tuple(choice for choice in left.scope if choice in right.scope)
        ours, theirs = _pairs(self._states(left, shared), self._states(right, shared))
        values = left.values[ours] + right.values[theirs]
        kept_scope = tuple(dict.fromkeys(scope))
        states = np.zeros(len(ours), dtype=np.int64)
        for choice in kept_scope:
            code = left.codes[ours, choice] | right.codes[theirs, choice]
            states = states * self._sizes[choice] + code
        if self._most is not None and len(values) > self._most and values.shape[1] > 1:
            kept = thinned(values, states, self._most).rows
        else:
            kept = first_non_dominated(values, states)
        return PartialSums(
            scope=kept_scope,
            states=states[kept],
            values=values[kept],
            codes=left.codes[ours[kept]] | right.codes[theirs[kept]],  # what is not decided is 0
        )

    def _states(self, sums: PartialSums, scope: Sequence[int]) -> Codes:
        states = np.zeros(len(sums.states), dtype=np.int64)
        for choice in scope:
            states = states * self._sizes[choice] + sums.codes[:, choice]
        return states


def _pairs(left: Codes, right: Codes) -> tuple[Codes, Codes]:
    """Places of all pairs of equal keys."""
    order = np.argsort(right, kind="stable")
    starts = np.searchsorted(right[order], left, side="left")
    counts = np.searchsorted(right[order], left, side="right") - starts
    total = int(counts.sum())
    if total > _MOST_SUMS:
        raise ConfigError(
            f"An exact front may hold at most {_MOST_SUMS} sums at a time; got {total}. "
            "Ask for fewer costs, or say how many policies you want at `most`."
        )
    ours = np.repeat(np.arange(len(left)), counts)
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    return ours, order[np.repeat(starts, counts) + within]
