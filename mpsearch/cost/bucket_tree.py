"""Sums of factors, arranged for eliminating one variable after another."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.elimination import elimination_order

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """M functions of some variables. Shape: table (*sizes of `scope`, M); `scope` grows."""

    scope: tuple[int, ...]
    table: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A variable, and where what is left of its factors once it is eliminated goes to: a function of `scope`.

    `parent` is the place of the bucket that takes it, None at a root: its `scope` is empty.
    """

    variable: int
    scope: tuple[int, ...]
    parent: int | None


class BucketTree:
    """The factors of each variable that no variable eliminated before it has. Children come before parents.

    `factors`: (variables, table (*their sizes, M)). `sizes` (V,). `entries` is the size of the largest table
    over a bucket's variables, of M functions.

    Source: Dechter 1999, bucket-tree elimination, doi:10.1016/S0004-3702(99)00059-4.
    """

    def __init__(
        self, factors: Iterable[tuple[tuple[int, ...], Floats]], sizes: Sequence[int], columns: int
    ) -> None:
        self.sizes = tuple(sizes)
        self._columns = columns
        tables = [_sorted(scope, table) for scope, table in factors]
        order = elimination_order([table.scope for table in tables], self.sizes)
        turn = {variable: place for place, variable in enumerate(order)}
        self._own: list[list[Table]] = [[] for _ in order]
        self.constant = np.zeros(columns)
        for table in tables:
            if table.scope:
                self._own[min(turn[v] for v in table.scope)].append(table)
            else:
                self.constant += table.table
        self.buckets: list[Bucket] = []
        self.children: list[list[int]] = [[] for _ in order]
        self.entries = 1
        for place, variable in enumerate(order):
            below = (set(self.buckets[child].scope) for child in self.children[place])
            joint = {variable}.union(*(table.scope for table in self._own[place]), *below)
            self.entries = max(self.entries, math.prod(self.sizes[v] for v in joint))
            scope = tuple(sorted(joint - {variable}))
            parent = min((turn[v] for v in scope), default=None)
            self.buckets.append(Bucket(variable=variable, scope=scope, parent=parent))
            if parent is not None:
                self.children[parent].append(place)

    @property
    def roots(self) -> list[int]:
        return [place for place, bucket in enumerate(self.buckets) if bucket.parent is None]

    def own(self, place: int) -> Table:
        """The sum of a bucket's own factors, over its variable at least."""
        scope = {self.buckets[place].variable}.union(*(table.scope for table in self._own[place]))
        return self._sum(self._own[place], tuple(sorted(scope)))

    def negated(self) -> BucketTree:
        """Of all functions times -1."""
        turned = copy.copy(self)
        turned._own = [[Table(scope=t.scope, table=-t.table) for t in tables] for tables in self._own]
        turned.constant = -self.constant
        return turned

    def least(self) -> Floats:
        """The least of each function alone, (M,)."""
        below = self.least_below()
        total: Floats = self.constant + sum(below[root].table for root in self.roots)
        return total

    def least_below(self) -> list[Table]:
        """For each bucket and assignment of its `scope`, the least of each function alone: of the sum of all
        factors in the bucket and below it.
        """
        below: list[Table] = []
        for place, bucket in enumerate(self.buckets):
            parts = [self.own(place), *(below[child] for child in self.children[place])]
            below.append(self._least(parts, bucket.scope))
        return below

    def least_rest(self, below: Sequence[Table]) -> list[Table]:
        """As `least_below`, of all other factors; the constant left out."""
        whole = np.sum([below[root].table for root in self.roots], axis=0)
        rest: list[Table] = [*below]
        for place in reversed(range(len(self.buckets))):
            parent = self.buckets[place].parent
            if parent is None:
                rest[place] = Table(scope=(), table=whole - below[place].table)
            else:
                siblings = [below[child] for child in self.children[parent] if child != place]
                parts = [self.own(parent), rest[parent], *siblings]
                rest[place] = self._least(parts, self.buckets[place].scope)
        return rest

    def _least(self, parts: Sequence[Table], scope: tuple[int, ...]) -> Table:
        joint = tuple(sorted(set(scope).union(*(part.scope for part in parts))))
        axes = tuple(axis for axis, variable in enumerate(joint) if variable not in scope)
        return Table(scope=scope, table=self._sum(parts, joint).table.min(axis=axes))

    def _sum(self, parts: Sequence[Table], scope: tuple[int, ...]) -> Table:
        total = np.zeros([*(self.sizes[v] for v in scope), self._columns])
        for part in parts:
            shape = [self.sizes[v] if v in part.scope else 1 for v in scope]
            total += part.table.reshape(*shape, self._columns)
        return Table(scope=scope, table=total)


def _sorted(scope: tuple[int, ...], table: Floats) -> Table:
    order = [int(axis) for axis in np.argsort(scope)]
    return Table(scope=tuple(scope[axis] for axis in order), table=table.transpose(*order, len(scope)))
