"""One integer programme a budget: the policy of least estimated loss that meets it, budget after budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from mpsearch.search.best_under import best_under
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import Codes, Floats, KnownPolicies
from mpsearch.search.list_sampler import ListSampler
from mpsearch.search.low_discrepancy import halton, van_der_corput
from mpsearch.search.policy_list import PolicyList, needed_proxy
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_front import BranchSpace
from mpsearch.search.proxy_starts import columns_that_matter
from mpsearch.search.random_policies import ALL, Policy, all_feasible

_MOST_IN_VAIN = 30  # budgets in a row that give no new policy, before the list ends


class IlpSampler(ListSampler):
    """min sum of losses subject to costs <= budget, solved exactly for a spread of budgets.

    A budget is a share of a cost's range. First there is none, then for each cost that matters 0, 1/2, 1/4,
    3/4, ..., the others free; and, of several costs, points that fill their cube, for all at once. Costs and
    cube take turns. Each policy is trained once, a budget that none meets is passed over. It learns nothing
    from scores. Once 30 budgets in a row give nothing new: random policies.

    Raises: ConfigError if there is no proxy.
    Source: Yao et al. 2021 (HAWQ-v3), arXiv:2011.10680, which solves for one budget, on the Hessian's trace
    times the squared change of the weights; here the losses are the search's sensitivity.
    """

    def __init__(self, knowledge: Knowledge, *, seed: int) -> None:
        listed = ilp_policies(knowledge.policies, needed_proxy(knowledge, "ilp"))
        super().__init__(knowledge.policies, listed, seed=seed)


@lru_cache(maxsize=8)  # one search at a time; the samplers are made anew for each ask
def ilp_policies(policies: KnownPolicies, proxy: Proxy) -> PolicyList:
    """The solutions, in order."""
    return PolicyList(_solutions(policies, proxy))


def _solutions(policies: KnownPolicies, proxy: Proxy) -> Iterator[Policy]:
    columns = columns_that_matter(policies)
    least, greatest = _ranges(policies, proxy)
    solve = _listed(policies, proxy) if policies.policies <= ALL else None
    found_before: set[Policy] = set()
    in_vain = 0
    for shares in _budgets(columns):
        bounds = policies.bounds.copy()
        for column, share in shares.items():
            bounds[column] = min(bounds[column], least[column] + share * (greatest[column] - least[column]))
        found = best_under(policies, proxy.losses, bounds) if solve is None else solve(bounds)
        policy = None if found is None else tuple(found.tolist())
        in_vain += 1
        if policy is not None and policy not in found_before:
            in_vain = 0
            found_before.add(policy)
            yield policy
        if in_vain == _MOST_IN_VAIN:
            return


def _listed(policies: KnownPolicies, proxy: Proxy) -> Callable[[Floats], Codes | None]:
    """What `best_under` answers, looked up: of a small space all policies are known at once."""
    codes = all_feasible(policies)
    codes = codes[np.argsort(proxy.evaluate(codes), kind="stable")]
    costs = policies.evaluate(codes)

    def solve(bounds: Floats) -> Codes | None:
        met = (costs <= bounds).all(axis=1)
        return codes[met.argmax()] if met.any() else None

    return solve


def _budgets(columns: list[int]) -> Iterator[dict[int, float]]:
    """Column -> share of its range."""
    yield {}
    for number in itertools.count() if columns else ():
        for column in columns:
            yield {column: van_der_corput(number + 1)}
        if len(columns) > 1:
            yield dict(zip(columns, halton(number, len(columns)).tolist(), strict=True))


def _ranges(policies: KnownPolicies, proxy: Proxy) -> tuple[Floats, Floats]:
    """What allowed policies cost at least and at most: exactly where costs are additive, else bounds on it.

    Shape: (K,). Added up in the order of `CostBranch.evaluate`: in another one the cheapest policy may cost a
    rounding more than what is then its own budget.
    """
    columns = range(len(policies.columns))
    spaces = [BranchSpace.of(policies, branch, proxy.losses, columns) for branch in policies.branches]
    least, greatest = (
        [
            sum(end(table.reshape(-1, table.shape[-1]), axis=0)[1:] for _, table in space.factors)
            for space in spaces
            if space is not None
        ]
        for end in (np.min, np.max)
    )
    return np.min(least, axis=0), np.max(greatest, axis=0)
