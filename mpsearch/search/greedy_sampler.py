"""Greedy lowering: step by step, the choice that loses least per cost saved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import Codes, KnownPolicies
from mpsearch.search.list_sampler import ListSampler
from mpsearch.search.low_discrepancy import halton, van_der_corput
from mpsearch.search.lowering_path import lowering_path
from mpsearch.search.policy_list import PolicyList, needed_proxy
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_starts import columns_that_matter
from mpsearch.search.random_policies import Policy

_MORE_PATHS = 16  # after the ones of single costs, where there are several


class GreedySampler(ListSampler):
    """Walks from the most precise policy to the cheapest on the proxy, and trains policies of the way.

    At each step the choice is lowered that adds least loss per cost saved, to its next precision that saves.
    A cost saved is a share of its range; of several costs, a way for each, one for their mean and some for
    other weights. Of each way the ends come first, then the middle, the quarters, and so on, ways taking
    turns. It learns nothing from scores. After the last of them: random policies.

    Raises: ConfigError if there is no proxy.
    Source: automatic mixed precision of AIMET (Siddegowda et al. 2022, arXiv:2201.08442); loss per cost as in
    Cai et al. 2020 (ZeroQ), arXiv:2001.00281.
    """

    def __init__(self, knowledge: Knowledge, *, seed: int) -> None:
        listed = greedy_policies(knowledge.policies, needed_proxy(knowledge, "greedy"))
        super().__init__(knowledge.policies, listed, seed=seed)


@lru_cache(maxsize=8)  # one search at a time; the samplers are made anew for each ask
def greedy_policies(policies: KnownPolicies, proxy: Proxy) -> PolicyList:
    """What greedy lowering proposes, in order."""
    return PolicyList(_in_turns(policies, proxy))


def _in_turns(policies: KnownPolicies, proxy: Proxy) -> Iterator[Policy]:
    count = len(columns_that_matter(policies)) or len(policies.columns)
    single = [*np.eye(count), np.full(count, 1 / count)] if count > 1 else [np.ones(count)]
    yield from _along([lowering_path(policies, proxy, weights) for weights in single], policies)
    if count > 1:
        for point in range(_MORE_PATHS):
            weights = halton(point, count)
            yield from _along([lowering_path(policies, proxy, weights / weights.sum())], policies)


def _along(paths: list[Codes], policies: KnownPolicies) -> Iterator[Policy]:
    paths = [path[policies.feasible(path)] for path in paths]
    longest = max(len(path) for path in paths)
    for point in range(2 * longest):
        for path in paths:
            if len(path):
                down = round((1 - van_der_corput(point)) * (len(path) - 1))
                yield tuple(path[down].tolist())
