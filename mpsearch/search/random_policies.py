"""Policies at random, of those that may be proposed."""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache

import numpy as np

from mpsearch.search.best_under import best_under
from mpsearch.search.known_policies import Codes, KnownPolicies
from mpsearch.search.precision_order import PrecisionOrder

Policy = tuple[int, ...]

ALL = 2**14  # policies of a space that are listed, rather than drawn
_DRAWS = 512
_ROUNDS = 8


def random_unseen(policies: KnownPolicies, seen: Set[Policy], generator: np.random.Generator) -> Policy:
    """A random policy that is allowed, within the bounds and not among the seen; else any that is allowed.

    In a space of up to 2^14 policies one is found if there is one, each as likely. In a larger one, where few
    random policies are within the bounds, neighbours of seen ones that are, and of these; then those that
    lose least of random losses.
    """
    order = PrecisionOrder.of(policies)
    if policies.policies <= ALL:
        listed = all_feasible(policies)
        found = first_unseen(listed[generator.permutation(len(listed))], seen)
    else:
        found = _drawn(policies, order, seen, generator)
    if found is not None:
        return found
    return tuple(order.codes_at(generator.integers(order.sizes)).tolist())


def first_unseen(codes: Codes, seen: Set[Policy]) -> Policy | None:
    """Shape: codes (P, C)."""
    return next((policy for policy in map(tuple, codes.tolist()) if policy not in seen), None)


@lru_cache(maxsize=8)  # one search at a time; samplers are made anew for each ask
def all_feasible(policies: KnownPolicies) -> Codes:
    """Every policy that is allowed and within the bounds, of a small space. Shape: -> (P, C)."""
    codes: Codes = np.indices(policies.sizes.tolist()).reshape(len(policies.sizes), -1).T
    feasible: Codes = codes[policies.feasible(codes)]
    return feasible


def _drawn(
    policies: KnownPolicies, order: PrecisionOrder, seen: Set[Policy], generator: np.random.Generator
) -> Policy | None:
    sizes = order.sizes
    for _ in range(_ROUNDS):
        drawn = order.codes_at(generator.integers(sizes, size=(_DRAWS, len(sizes))))
        if (found := first_unseen(drawn[policies.feasible(drawn)], seen)) is not None:
            return found
    within = np.array(sorted(seen), dtype=np.int64).reshape(len(seen), len(sizes))
    within = within[policies.feasible(within)]
    for _ in range(_ROUNDS):
        if not len(within):
            break
        places = order.places_of(within[generator.integers(len(within), size=_DRAWS)])
        moved = generator.integers(len(sizes), size=_DRAWS)
        places[np.arange(_DRAWS), moved] = generator.integers(sizes[moved])
        near = order.codes_at(places)
        near = near[policies.feasible(near)]
        if (found := first_unseen(near, seen)) is not None:
            return found
        within = np.unique(np.concatenate((within, near)), axis=0)
    for _ in range(_ROUNDS):
        losses = [generator.random(size) for size in policies.sizes.tolist()]
        best = best_under(policies, losses, policies.bounds)
        if best is None:
            break
        if (found := first_unseen(best[None], seen)) is not None:
            return found
    return None
