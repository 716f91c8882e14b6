"""The least sum of terms over all codes, by eliminating one variable after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.cost.cost_term import CostTerm

Floats = NDArray[np.float64]
_TABLE_ENTRIES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Factor:
    """A function of some variables. Shape: table has one axis a variable."""

    variables: tuple[int, ...]
    table: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """No assignment has a smaller sum than `bound`; `values` reach it if `is_exact`, else they come near."""

    bound: float
    values: tuple[int, ...]
    is_exact: bool


def least_sum(
    factors: Sequence[Factor],
    sizes: Sequence[int],
    order: Sequence[int],
    *,
    is_exact: bool = True,
    entries: int = _TABLE_ENTRIES,
) -> Least:
    """Minimise the sum of the factors over all assignments of the variables, eliminated in that order.

    Exact, and fast on graphs that are nearly chains. Where a table would exceed `entries`, the factors of a
    variable are minimised in parts, and the sum of the parts' minima is only a bound (`is_exact` of the
    result is False).

    Source: Dechter 1999, bucket elimination, doi:10.1016/S0004-3702(99)00059-4; Dechter and Rish 2003,
    mini-buckets, doi:10.1145/636865.636866.
    """
    turn = {variable: place for place, variable in enumerate(order)}
    waiting: list[list[Factor]] = [[] for _ in order]
    bound = 0.0

    def wait(factor: Factor) -> None:
        nonlocal bound
        if factor.variables:
            waiting[min(turn[v] for v in factor.variables)].append(factor)
        else:
            bound += float(factor.table)

    for factor in factors:
        wait(factor)
    for variable, bucket in zip(order, waiting, strict=True):
        parts = _parts(bucket, sizes, entries)
        is_exact = is_exact and len(parts) <= 1
        for part in parts:
            joint = _summed(part, sizes)
            axis = joint.variables.index(variable)
            rest = tuple(v for v in joint.variables if v != variable)
            wait(Factor(variables=rest, table=joint.table.min(axis)))
    values = [0] * len(sizes)
    for variable, bucket in zip(reversed(order), reversed(waiting), strict=True):
        total = np.zeros(sizes[variable])
        for factor in bucket:
            place = tuple(slice(None) if v == variable else values[v] for v in factor.variables)
            total += factor.table[place]
        values[variable] = int(np.argmin(total))
    return Least(bound=bound, values=tuple(values), is_exact=is_exact)


def elimination_order(scopes: Iterable[Iterable[int]], sizes: Sequence[int]) -> tuple[int, ...]:
    """All variables, in turn the one whose elimination makes the smallest table.

    `scopes`: the variables that appear in a factor together.
    """
    near: list[set[int]] = [set() for _ in sizes]
    for scope in scopes:
        for variable in (together := set(scope)):
            near[variable] |= together - {variable}
    entries = [math.prod(sizes[v] for v in others) for others in near]
    left = set(range(len(sizes)))
    order = []
    while left:
        variable = min(left, key=lambda v: (entries[v] * sizes[v], v))
        left.remove(variable)
        order.append(variable)
        for other in near[variable]:
            near[other] = (near[other] | near[variable]) - {variable, other}
            entries[other] = math.prod(sizes[v] for v in near[other])
    return tuple(order)


def factor_of(
    term: CostTerm,
    costs: Floats,
    variable_of: Sequence[int],
    codes: Sequence[NDArray[np.int64]],
    *,
    entries: int = _TABLE_ENTRIES,
) -> tuple[Factor, bool]:
    """A term as a factor of the variables of its layers, and whether it is exact.

    A term of too many variables keeps those that fit, and is a lower bound over the others.

    Shape: costs (E,) of the term's entries, or (E, K), and then the table has a last axis of K; variable_of
    (L,), layer -> variable; codes[layer] (size of its variable,), the layer's code for each value.
    """
    offsets: dict[int, NDArray[np.int64]] = {}
    for layer, column in zip(term.layers, term.offsets, strict=True):
        variable = variable_of[layer]
        offsets[variable] = offsets.get(variable, 0) + column[codes[layer]]
    kept: list[int] = []
    for variable, column in offsets.items():
        if math.prod(len(offsets[v]) for v in kept) * len(column) <= entries:
            kept.append(variable)
    others = np.zeros(1, dtype=np.int64)
    for variable in offsets.keys() - set(kept):
        others = np.unique(others[:, None] + offsets[variable])
    place = np.zeros((), dtype=np.int64)
    for variable in kept:
        place = place[..., None] + offsets[variable]
    table = costs[place + others[0]]
    for other in others[1:]:
        table = np.minimum(table, costs[place + other])
    return Factor(variables=tuple(kept), table=table), len(kept) == len(offsets)


def _parts(bucket: Sequence[Factor], sizes: Sequence[int], entries: int) -> list[list[Factor]]:
    parts: list[tuple[set[int], list[Factor]]] = []
    for factor in sorted(bucket, key=lambda factor: -factor.table.size):
        for scope, members in parts:
            if math.prod(sizes[v] for v in scope | set(factor.variables)) <= entries:
                scope |= set(factor.variables)
                members.append(factor)
                break
        else:
            parts.append((set(factor.variables), [factor]))
    return [members for _, members in parts]


def _summed(factors: Sequence[Factor], sizes: Sequence[int]) -> Factor:
    variables = tuple(sorted({v for factor in factors for v in factor.variables}))
    total = np.zeros([sizes[v] for v in variables])
    for factor in factors:
        order = np.argsort(factor.variables)
        shape = [sizes[v] if v in factor.variables else 1 for v in variables]
        total += factor.table.transpose(order).reshape(shape)
    return Factor(variables=variables, table=total)
