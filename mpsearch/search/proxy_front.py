"""The policies that are best by an additive estimate of the loss and the costs that are known: exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.epsilon_grid import thinned
from mpsearch.pareto.partial_fronts import first_non_dominated
from mpsearch.search.known_policies import Codes, CostBranch, KnownPolicies
from mpsearch.search.pareto_elimination import ParetoElimination

Floats = NDArray[np.float64]
_WORKING = 2048  # partial sums held where a front is thinned


def exact_front(
    policies: KnownPolicies,
    losses: Sequence[Floats],
    columns: Sequence[int],
    *,
    most: int | None = None,
) -> Codes:
    """Every point of the front of (sum of losses, the costs asked for) among policies within the bounds.

    One policy a point. All are minimised. With `most`, about as many policies at most, which stand for the
    others: see `mpsearch.pareto.epsilon_grid`.

    Shape: losses[c] (size of choice c,); columns: places in `policies.columns` -> (F, C), losses growing.
    """
    working = None if most is None else max(most, _WORKING)
    found = np.concatenate([_of_branch(policies, b, losses, columns, working) for b in policies.branches])
    found = found[policies.feasible(found)]
    costs = policies.evaluate(found)[:, list(columns)]
    values = np.column_stack((_loss(losses, found), costs))
    kept = first_non_dominated(values, np.zeros(len(found), dtype=np.int64))
    if most is not None and len(kept) > most:
        kept = kept[thinned(values[kept], np.zeros(len(kept), dtype=np.int64), most).rows]
    return found[kept[np.lexsort(values[kept].T[::-1])]]


def _of_branch(
    policies: KnownPolicies,
    branch: CostBranch,
    losses: Sequence[Floats],
    columns: Sequence[int],
    working: int | None,
) -> Codes:
    bounded = np.flatnonzero(np.isfinite(policies.bounds))
    used = list(dict.fromkeys([*columns, *bounded.tolist()]))
    factors: list[tuple[tuple[int, ...], Floats]] = []
    for choice, added in enumerate(losses):
        if choice not in branch.fixed:
            table = np.zeros((len(added), 1 + len(used)))
            table[:, 0] = added
            factors.append(((choice,), table))
    for factor in branch.factors:
        none = np.zeros((*factor.table.shape[:-1], 1))
        factors.append((factor.choices, np.concatenate((none, factor.table[..., used]), axis=-1)))
    elimination = ParetoElimination(factors, policies.sizes.tolist(), 1 + len(used), most=working)
    codes = elimination.run().codes.astype(np.int64)
    for choice, code in branch.fixed.items():
        codes[:, choice] = code
    return codes


def _loss(losses: Sequence[Floats], codes: Codes) -> Floats:
    total = np.zeros(len(codes))
    for choice, added in enumerate(losses):
        total += added[codes[:, choice]]
    return total
