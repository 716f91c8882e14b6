"""Policies worth looking at for the next trial; all of them where the space is small."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from mpsearch.search.accuracy_surrogate import AccuracySurrogate
from mpsearch.search.known_policies import Codes, KnownPolicies
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_starts import columns_that_matter, front_within
from mpsearch.search.random_policies import ALL, all_feasible
from mpsearch.search.supported_policies import supported_policies

_FRONT = 192  # of the proxy's front
_MODELS = 4  # policies near which the surrogate's mean, and a draw from it, are taken as additive
_OF_MODEL = 48  # policies that each of these finds best
_NEIGHBOURS = 256
_CROSSED = 128
_PARENTS = 48  # policies of the current front that neighbours and crossovers are of


def candidates(
    policies: KnownPolicies,
    proxy: Proxy,
    *,
    surrogate: AccuracySurrogate,
    front: Codes,
    seen: Set[tuple[int, ...]],
    generator: np.random.Generator,
) -> Codes:
    """None that is seen or beyond the bounds; none at all where none was found.

    The proxy's exact front, neighbours and crossovers of the current front, and what is best by the additive
    part of the surrogate: of its mean and of draws from it, each taken near a policy of the current front.

    Shape: front (F, C), best known policies -> (P, C).
    """
    if policies.policies <= ALL:
        return _unseen(all_feasible(policies), seen)
    parents = front[np.unique(np.linspace(0, len(front) - 1, _PARENTS).round().astype(int))]
    found = [
        front_within(policies, proxy, _FRONT),
        _neighbours(policies, parents, generator),
        _crossed(parents, generator),
    ]
    columns = columns_that_matter(policies)
    at = parents[np.unique(np.linspace(0, len(parents) - 1, _MODELS).round().astype(int))]
    for effects in (surrogate.additive(at), surrogate.sampled(at, generator)):
        for row in range(len(at)):
            losses = [of_choice[row] for of_choice in effects]
            found.append(supported_policies(policies, losses, columns, generator, count=_OF_MODEL))
    together = np.unique(np.concatenate(found), axis=0)
    return _unseen(together[policies.feasible(together)], seen)


def _unseen(codes: Codes, seen: Set[tuple[int, ...]]) -> Codes:
    kept = np.array([policy not in seen for policy in map(tuple, codes.tolist())], dtype=bool)
    unseen: Codes = codes[kept]
    return unseen


def _neighbours(policies: KnownPolicies, parents: Codes, generator: np.random.Generator) -> Codes:
    """One or two choices changed, mostly by one step."""
    rows = parents[generator.integers(len(parents), size=_NEIGHBOURS)].copy()
    sizes = policies.sizes
    for changes in (slice(None), slice(0, _NEIGHBOURS // 2)):
        part: Codes = rows[changes]
        choice = generator.integers(len(sizes), size=len(part))
        at = np.arange(len(part))
        step = generator.choice([-1, 1], size=len(part))
        near = np.clip(part[at, choice] + step, 0, sizes[choice] - 1)
        anywhere = (generator.random(len(part)) * sizes[choice]).astype(np.int64)
        part[at, choice] = np.where(generator.random(len(part)) < 0.7, near, anywhere)
    return rows


def _crossed(parents: Codes, generator: np.random.Generator) -> Codes:
    first, second = (parents[generator.integers(len(parents), size=_CROSSED)] for _ in range(2))
    crossed: Codes = np.where(generator.random(first.shape) < 0.5, first, second)
    return crossed
