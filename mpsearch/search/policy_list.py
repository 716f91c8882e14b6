"""Policies in an order that follows from what is known before any is trained."""

from __future__ import annotations

from collections.abc import Iterator, Set

from mpsearch.errors import ConfigError
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.proxy import Proxy
from mpsearch.search.random_policies import Policy


class PolicyList:
    """Policies that a generator yields, worked out no further than asked for, each of them once."""

    def __init__(self, policies: Iterator[Policy]) -> None:
        self._coming = policies
        self._found: dict[Policy, None] = {}

    def first_unseen(self, seen: Set[Policy]) -> Policy | None:
        """The first that is not among them; None at the end of the list."""
        for policy in self._found:
            if policy not in seen:
                return policy
        for policy in self._coming:
            if policy not in self._found:
                self._found[policy] = None
                if policy not in seen:
                    return policy
        return None


def needed_proxy(knowledge: Knowledge, sampler: str) -> Proxy:
    """Raises: ConfigError if there is none."""
    if knowledge.proxy is None:
        raise ConfigError(
            f"The sampler {sampler!r} decides by what few bits are estimated to lose; got no estimate. "
            "Choose a sensitivity (search: {sensitivity: loss}), or another sampler."
        )
    return knowledge.proxy
