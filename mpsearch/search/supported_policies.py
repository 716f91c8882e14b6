"""Policies that are best by weighted sums of an additive loss and the costs: fast, where a front is slow."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from mpsearch.search.known_policies import Codes, CostBranch, Floats, KnownPolicies

_NARROW, _WIDE = -2.5, 1.5  # decades of the weights of costs, around equal ranges of loss and cost


def supported_policies(
    policies: KnownPolicies,
    losses: Sequence[Floats],
    columns: Sequence[int],
    generator: np.random.Generator,
    *,
    count: int,
) -> Codes:
    """Policies that minimise loss + weights · costs, for `count` random weights of each branch of costs.

    Where each choice has costs of its own, these are points of the exact front, on its convex hull; of costs
    that several choices decide, each choice takes its mean over the others. Bounds are not looked at.

    Shape: losses[c] (size of choice c,) -> (P, C), some of them alike.
    Source: Everett 1963, 10.1287/opre.11.3.399 (Lagrange multipliers).
    """
    found = []
    for branch, of_branch in zip(policies.branches, _costs_of_choices(policies), strict=True):
        costs = [of_choice[:, list(columns)] for of_choice in of_branch]
        ranges = np.sum([np.ptp(of_choice, axis=0) for of_choice in costs], axis=0)
        worth = sum(float(np.ptp(of_choice)) for of_choice in losses) / np.where(ranges > 0, ranges, 1.0)
        decades = generator.uniform(_NARROW, _WIDE, (count, len(columns)))
        weights = 10.0**decades * worth
        chosen = np.empty((count, len(losses)), dtype=np.int64)
        for choice, (lost, cost) in enumerate(zip(losses, costs, strict=True)):
            total = lost + weights @ cost.T
            if policies.allowed is not None:
                total = np.where(policies.allowed[choice], total, np.inf)
            chosen[:, choice] = total.argmin(axis=1)
        for choice, code in branch.fixed.items():
            chosen[:, choice] = code
        found.append(chosen)
    return np.concatenate(found)


@functools.lru_cache(maxsize=4)
def _costs_of_choices(policies: KnownPolicies) -> list[list[Floats]]:
    """Shape: for each branch and choice (its size, K)."""
    return [_costs_of_branch(policies, branch) for branch in policies.branches]


def _costs_of_branch(policies: KnownPolicies, branch: CostBranch) -> list[Floats]:
    costs = [np.zeros((size, len(policies.columns))) for size in policies.sizes.tolist()]
    for factor in branch.factors:
        for axis, choice in enumerate(factor.choices):
            others = tuple(other for other in range(len(factor.choices)) if other != axis)
            costs[choice] += factor.table.mean(axis=others)
    return costs
