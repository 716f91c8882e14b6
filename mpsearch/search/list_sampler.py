"""A sampler whose proposals stand before any is trained."""

from __future__ import annotations

from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.policy_list import PolicyList
from mpsearch.search.policy_sampler import PolicySampler, ToldPolicies
from mpsearch.search.random_policies import Policy


class ListSampler(PolicySampler):
    """Proposes the policies of a list in order and learns nothing from scores; after the last, random ones.

    `listed` is shared between samplers, which are made anew for each ask.
    """

    def __init__(self, policies: KnownPolicies, listed: PolicyList, *, seed: int) -> None:
        super().__init__(policies, seed=seed)
        self._list = listed

    def propose(self, told: ToldPolicies) -> Policy | None:
        return self._list.first_unseen(told.seen)
