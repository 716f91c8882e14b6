"""All non-dominated sums of factors with a loss and several costs each, choice after choice."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.bucket_tree import BucketTree, Floats, Table
from mpsearch.pareto.epsilon_grid import MOST_CELLS, thinned
from mpsearch.pareto.partial_fronts import first_non_dominated

Codes = NDArray[np.int64]
MOST_SUMS = 1 << 22  # compared at a time
MOST_ENTRIES = 1 << 20  # of the table over the choices of a bucket
_PER_STATE = 250  # sums that stay for an assignment where they are thinned
_STATES = 8  # assignments that get so many; more share them
_THINNED_PAIRS = 1 << 16  # sums compared at a time where they are thinned
_ROUNDING = 1e-9


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """The least and the greatest that each of M sums can be, for each assignment. Shape: (states, M)."""

    least: Floats
    greatest: Floats


class ParetoElimination:
    """Minimises a loss and costs, all sums of factors, over all codes of the choices at once.

    The factors of a choice are added up for all codes of the choices that share a factor with it, and of the
    codes of the choice itself only those stay whose sums no other is better than. Sums that no rest can bring
    within `bounds` are dropped at once; of a cost with a bound that is not `wanted`, all sums that any rest
    brings within it are equal. Exact on any graph; quick where it is nearly a chain or a tree.

    With `most`, sums are thinned wherever they are many (see `mpsearch.pareto.epsilon_grid`, on the least
    total that each can come to). `ratio` (M,) then says how good the result is: for each policy that would
    meet the bounds with costs so many times as high, one is found that loses no more and costs at most so
    many times as much.

    `factors`: (choices, table (*their sizes, M)), the first column the loss. `sizes` (C,); bounds (M,);
    wanted (M,); compared (M,): False for a column that follows from the others and only has a bound.

    Source: Nemhauser and Ullmann 1969, doi:10.1287/mnsc.15.9.494 (merging of partial sums); Rollon and
    Larrosa 2006, doi:10.1007/s10732-006-6726-y (multi-objective bucket elimination).
    """

    def __init__(
        self,
        factors: Iterable[tuple[tuple[int, ...], Floats]],
        sizes: Sequence[int],
        *,
        bounds: Floats,
        wanted: NDArray[np.bool_],
        compared: NDArray[np.bool_] | None = None,
        most: int | None = None,
        most_sums: int = MOST_SUMS,
    ) -> None:
        self._tree = BucketTree(factors, sizes, len(bounds))
        self._bounded = np.isfinite(bounds)
        tolerance = np.where(self._bounded, _ROUNDING * np.abs(bounds), 0.0)
        self._highest = (bounds + tolerance)[self._bounded]
        self._lowest = bounds - tolerance
        self._wanted = wanted
        self._compared = np.ones(len(bounds), dtype=bool) if compared is None else compared
        self._most = most
        self._most_sums = most_sums
        self._cells = 1 << 12
        self.ratio = np.ones(len(bounds))

    def run(self) -> Codes | None:
        """Codes (F, C) of the non-dominated sums; None where more than `most_sums` were to be compared.

        Sums that are equal but for rounding may all be there, and so may some a rounding above a bound.
        """
        if self._tree.entries > MOST_ENTRIES:
            return None
        try:
            return self._run().codes.astype(np.int64)
        except _TooManyError:
            return None

    def _run(self) -> PartialSums:
        tree = self._tree
        negated = tree.negated()
        below, negated_below = tree.least_below(), negated.least_below()
        rests, negated_rests = tree.least_rest(below), negated.least_rest(negated_below)
        messages: list[PartialSums] = []
        for place, bucket in enumerate(tree.buckets):
            sums = self._of_table(tree.own(place))
            children = [messages[child] for child in tree.children[place]]
            for child in children[:-1]:
                sums = self._joined(sums, child, (*sums.scope, *child.scope))
            last = children[-1] if children else self._of_table(Table(scope=(), table=0.0 * tree.constant))
            rest = self._span(rests[place], negated_rests[place], plus=tree.constant)
            is_last = tree.roots == [place]
            messages.append(self._joined(sums, last, bucket.scope, rest, is_last=is_last))
        roots = [(messages[root], self._span(below[root], negated_below[root])) for root in tree.roots]
        return self._of_components(roots)

    def _of_components(self, roots: Sequence[tuple[PartialSums, Span]]) -> PartialSums:
        """Join what shares no factor. Thinned: always the two smallest, for then few errors add up; else one
        after another, for then fewest sums are compared.
        """
        least = np.sum([span.least for _, span in roots], axis=0) + self._tree.constant
        greatest = np.sum([span.greatest for _, span in roots], axis=0) + self._tree.constant
        number = itertools.count()
        heap = [(len(sums.states), next(number), sums, span) for sums, span in roots]
        heapq.heapify(heap)
        while len(heap) > 1:
            _, _, left, of_left = heapq.heappop(heap)
            _, _, right, of_right = heapq.heappop(heap)
            low, high = of_left.least + of_right.least, of_left.greatest + of_right.greatest
            rest = Span(least=least - low, greatest=greatest - high)
            joined = self._joined(left, right, (), rest, is_last=not heap)
            size = 0 if self._most is None else len(joined.states)
            heapq.heappush(heap, (size, next(number), joined, Span(least=low, greatest=high)))
        return heap[0][2]

    def _joined(
        self,
        left: PartialSums,
        right: PartialSums,
        scope: Iterable[int],
        rest: Span | None = None,
        *,
        is_last: bool = False,
    ) -> PartialSums:
        """The sums of two that agree; for each assignment of `scope` those worth keeping.

        `rest`, where it is known: what is still to come, for each assignment of `scope`.
        """
        scope = tuple(sorted(set(scope)))
        shared = tuple(choice for choice in left.scope if choice in right.scope)
        left, right, ours, theirs = self._pairs(left, right, shared)
        values = left.values[ours] + right.values[theirs]
        states = np.zeros(len(ours), dtype=np.int64)
        for choice in scope:
            states *= self._tree.sizes[choice]
            states += left.codes[ours, choice] | right.codes[theirs, choice]  # what is not decided is 0
        kept = self._best(values, states, rest, is_last=is_last)
        return PartialSums(
            scope=scope,
            states=states[kept],
            values=left.values[ours[kept]] + right.values[theirs[kept]],
            codes=left.codes[ours[kept]] | right.codes[theirs[kept]],
        )

    def _best(self, values: Floats, states: Codes, rest: Span | None, *, is_last: bool) -> Codes:
        if rest is None:
            return first_non_dominated(values[:, self._compared], states)
        rows = np.arange(len(values))
        totals = values + rest.least[states]
        if self._bounded.any():
            rows = np.flatnonzero((totals[:, self._bounded] <= self._highest).all(axis=1))
            values, states, totals = values[rows], states[rows], totals[rows]
        if not len(rows):
            return rows
        for column in np.flatnonzero(self._bounded & self._compared & ~self._wanted):
            # What surely meets the bound, whatever comes: by how much does not matter.
            surely = self._lowest[column] - rest.greatest[states, column]
            raised = np.maximum(surely - values[:, column], 0.0)
            values[:, column] += raised
            totals[:, column] += raised
        varying = np.flatnonzero((values != values[0]).any(axis=0) & self._compared)
        cap = max(self._most or 0, _PER_STATE) if is_last else _PER_STATE * min(_STATES, len(rest.least))
        costs = varying[varying > 0]
        if self._most is None or len(rows) <= cap or not len(costs):
            columns = varying if len(varying) else [0]
            return rows[first_non_dominated(values[:, columns], states)]
        cells = MOST_CELLS if is_last else self._cells
        found = thinned(values[:, 0], totals[:, costs], states, cap, cells=cells)
        self._cells = found.cells
        self.ratio[costs] *= found.ratio
        return rows[found.rows]

    def _pairs(
        self, left: PartialSums, right: PartialSums, shared: tuple[int, ...]
    ) -> tuple[PartialSums, PartialSums, Codes, Codes]:
        """Rows of all pairs that agree on `shared`. Thinned before where these are too many."""
        while True:
            keys = self._keys(left, shared)
            other = self._keys(right, shared)
            order = np.argsort(other, kind="stable")
            starts = np.searchsorted(other[order], keys, side="left")
            counts = np.searchsorted(other[order], keys, side="right") - starts
            total = int(counts.sum())
            if total <= (self._most_sums if self._most is None else _THINNED_PAIRS):
                break
            try:
                if len(left.states) >= len(right.states):
                    left = self._halved(left)
                else:
                    right = self._halved(right)
            except _TooManyError:
                if self._most is None or total > self._most_sums:
                    raise
                break  # no fewer would do, and they still fit
        ours = np.repeat(np.arange(len(keys)), counts)
        within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        return left, right, ours, order[np.repeat(starts, counts) + within]

    def _halved(self, sums: PartialSums) -> PartialSums:
        """Raises: _TooManyError where sums are not to be thinned, or can be thinned no more."""
        if self._most is None:
            raise _TooManyError
        costs = sums.values[:, 1:]
        found = thinned(sums.values[:, 0], costs, sums.states, len(sums.states) // 2)
        if len(found.rows) == len(sums.states):
            raise _TooManyError
        self.ratio[1:] *= found.ratio
        rows = found.rows
        return PartialSums(
            scope=sums.scope, states=sums.states[rows], values=sums.values[rows], codes=sums.codes[rows]
        )

    def _keys(self, sums: PartialSums, scope: Sequence[int]) -> Codes:
        keys = np.zeros(len(sums.states), dtype=np.int64)
        for choice in scope:
            keys = keys * self._tree.sizes[choice] + sums.codes[:, choice]
        return keys

    def _of_table(self, table: Table) -> PartialSums:
        """Each entry a sum."""
        sizes = self._tree.sizes
        entries = math.prod(sizes[choice] for choice in table.scope)
        codes = np.zeros((entries, len(sizes)), dtype=np.int16)
        stride = entries
        for choice in table.scope:
            stride //= sizes[choice]
            codes[:, choice] = np.arange(entries) // stride % sizes[choice]
        values = table.table.reshape(entries, -1)
        return PartialSums(scope=table.scope, states=np.arange(entries), values=values, codes=codes)

    def _span(self, least: Table, negated_greatest: Table, plus: Floats | float = 0.0) -> Span:
        columns = len(self._wanted)
        return Span(
            least=least.table.reshape(-1, columns) + plus,
            greatest=plus - negated_greatest.table.reshape(-1, columns),
        )


class _TooManyError(Exception):
    """More sums were to be compared at a time than is allowed."""
