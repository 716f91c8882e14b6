"""Made-up spaces: small ones whose every policy can be tried, and wide ones."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st

from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.known_policies import CostBranch, CostFactor, KnownPolicies

SPACES = {
    "seed": st.integers(0, 2**32 - 1),
    "pairs": st.booleans(),
    "widths": st.sampled_from([0, 2]),
    "bounded": st.booleans(),
    "pinned": st.booleans(),
    "columns": st.integers(1, 3),
}


def known_space(rng, *, pairs=False, widths=0, bounded=False, pinned=False, columns=2, most_size=4):
    """A random space and its losses. Costs and losses are multiples of 1/8: their sums are exact.

    `pairs`: costs of neighbours, as a change of precision costs, and one of three choices. `widths`: a last
    choice that no factor depends on, with a branch each. `pinned`: some codes are not allowed.
    """
    sizes = [*rng.integers(1, most_size + 1, size=5).tolist(), *([widths] if widths else [])]
    scopes = [(choice,) for choice in range(5)]
    if pairs:
        scopes += [(0, 1), (1, 2), (3, 2), (1, 2, 4)]

    def eighths(*shape):
        return rng.integers(0, 24, shape) / 8.0

    def branch(fixed):
        factors = tuple(
            CostFactor(choices=scope, table=eighths(*(sizes[c] for c in scope), columns)) for scope in scopes
        )
        return CostBranch(fixed=fixed, constant=eighths(columns) + 1.0, factors=factors)

    policies = KnownPolicies(
        names=tuple(f"c{place}" for place in range(len(sizes))),
        places=tuple(np.arange(size) for size in sizes),
        sizes=np.array(sizes),
        columns=tuple(f"cost{place}" for place in range(columns)),
        branches=tuple(branch({5: code}) for code in range(widths)) or (branch({}),),
        objectives=(None, *range(columns)),
        is_maximized=True,
        bounds=np.full(columns, np.inf),
        allowed=tuple(rng.random(size) < 0.7 for size in sizes) if pinned else None,
    )
    losses = [eighths(size) for size in sizes]
    if bounded:
        costs = policies.evaluate(every_policy(policies))
        policies.bounds[:] = costs[rng.integers(len(costs))] + rng.integers(0, 3, columns)
    return policies, losses


def every_policy(policies):
    return np.array(list(product(*(range(size) for size in policies.sizes))))


def loss_of(losses, codes):
    return sum(added[codes[:, choice]] for choice, added in enumerate(losses))


def wide(layers, schemes, *, columns=2, seed=0):
    """Many layers that cost each their own; losses fall and costs grow with the scheme."""
    rng = np.random.default_rng(seed)
    names = list(SCHEMES.values())[:schemes]
    costs = {
        f"layer{place}": dict(zip(names, np.sort(rng.random((schemes, columns)), axis=0) + 0.1, strict=True))
        for place in range(layers)
    }
    policies = KnownPolicies.of_tables(
        costs, [f"cost{k}" for k in range(columns)], objectives=(None, *range(columns))
    )
    return policies, [np.sort(rng.random(schemes))[::-1] for _ in range(layers)]


def of_opposed_costs(layers=40, schemes=5):
    """As `wide`, what saves one cost adds to the other; and the policy of least costs together, (1, C)."""
    policies, losses = wide(layers, schemes)
    factors = policies.branches[0].factors
    generator = np.random.default_rng(0)
    for factor in factors:
        generator.shuffle(factor.table[:, 1])
    cheapest = np.array([[int(factor.table.sum(axis=1).argmin()) for factor in factors]])
    return policies, losses, cheapest
