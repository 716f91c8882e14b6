"""The way from the most precise policy to the cheapest: step by step what loses least for what it saves."""

from __future__ import annotations

import numpy as np

from mpsearch.search.known_policies import Codes, CostBranch, CostFactor, Floats, KnownPolicies
from mpsearch.search.precision_order import PrecisionOrder
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_starts import columns_that_matter


def lowering_path(policies: KnownPolicies, proxy: Proxy, weights: Floats) -> Codes:
    """All policies on the way down, where a cost saved is the weighted sum of the costs that matter.

    Costs count as shares of what lies between the two ends of the way. At each step the choice is lowered
    that adds least loss per cost saved, to its next precision that saves; of equal ones the first.

    Shape: weights (M,), one for each of `columns_that_matter`, or of all costs where none does -> (T, C).
    """
    columns = columns_that_matter(policies) or list(range(len(policies.columns)))
    order = PrecisionOrder.of(policies)
    highest = order.sizes - 1
    ends = policies.evaluate(order.codes_at(np.stack((highest, np.zeros_like(highest)))))[:, columns]
    span = np.abs(ends[0] - ends[1])
    weight_of = np.zeros(len(policies.columns))
    weight_of[columns] = weights / np.where(span > 0, span, 1.0)
    descent = _Descent(policies, proxy, order, weight_of)
    path = [descent.codes.copy()]
    while descent.step():
        path.append(descent.codes.copy())
    return np.array(path)


class _Descent:
    """A policy `codes` (C,), and what the next lowering of each choice adds to the loss per cost saved.

    A step changes this only for choices that share a cost with the lowered one: the others stay as they are.
    """

    def __init__(
        self, policies: KnownPolicies, proxy: Proxy, order: PrecisionOrder, weight_of: Floats
    ) -> None:
        self._policies, self._losses, self._weight_of = policies, proxy.losses, weight_of
        self._ascending = order.ascending
        self._places = order.sizes - 1
        self.codes = order.codes_at(self._places)
        # What decides which branch of costs holds (the width) has a part in all costs.
        self._deciding = {choice for branch in policies.branches for choice in branch.fixed}
        self._lower = np.full(len(self._places), -1)
        self._ratios = np.zeros(len(self._places))
        self._enter_branch()

    def step(self) -> bool:
        """Lower a choice; False where none saves anything."""
        able = np.flatnonzero(self._lower >= 0)
        if not len(able):
            return False
        choice = int(able[self._ratios[able].argmin()])
        self._places[choice] = self._lower[choice]
        self.codes[choice] = self._ascending[choice][self._places[choice]]
        if choice in self._deciding:
            self._enter_branch()
        else:
            for other in {choice, *self._deciding}.union(*(f.choices for f in self._factors[choice])):
                self._look_at(other)
        return True

    def _enter_branch(self) -> None:
        branch = self._branch()
        self._factors: list[list[CostFactor]] = [[] for _ in self.codes]
        for factor in branch.factors:
            for choice in factor.choices:
                self._factors[choice].append(factor)
        for choice in range(len(self.codes)):
            self._look_at(choice)

    def _branch(self) -> CostBranch:
        return next(
            branch
            for branch in self._policies.branches
            if all(self.codes[choice] == code for choice, code in branch.fixed.items())
        )

    def _look_at(self, choice: int) -> None:
        """To which place it would be lowered next, -1 for none, and for what."""
        codes = self._ascending[choice][: self._places[choice] + 1]
        costs = self._costs(choice, codes)
        saved = (costs[-1] - costs[:-1]) @ self._weight_of
        saving = np.flatnonzero(saved > 0)
        if not len(saving):
            self._lower[choice] = -1
            return
        place = self._lower[choice] = saving[-1]
        added = self._losses[choice][codes[place]] - self._losses[choice][codes[-1]]
        self._ratios[choice] = added / saved[place]

    def _costs(self, choice: int, codes: Codes) -> Floats:
        """With these codes of the choice, but for what it has no part in. Shape: (P,) -> (P, K)."""
        if choice in self._deciding:
            rows = np.repeat(self.codes[None], len(codes), axis=0)
            rows[:, choice] = codes
            return self._policies.evaluate(rows)
        costs = np.zeros((len(codes), len(self._weight_of)))
        for factor in self._factors[choice]:
            costs += factor.table[tuple(codes if c == choice else self.codes[c] for c in factor.choices)]
        return costs
