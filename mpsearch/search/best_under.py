"""The one policy that loses least under bounds on its costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpsearch.cost.bucket_tree import BucketTree
from mpsearch.search.integer_programme import IntegerProgramme
from mpsearch.search.known_policies import Codes, Floats, KnownPolicies
from mpsearch.search.pareto_elimination import MOST_ENTRIES, ParetoElimination
from mpsearch.search.proxy import summed_loss
from mpsearch.search.proxy_front import BranchSpace

# Compared at a time: where it takes more, an integer programme is as quick. With several bounds sooner.
_QUICK_SUMS, _QUICK_SUMS_OF_SEVERAL = 1 << 16, 1 << 14
_FIRST_GAP, _DEEPER = 2.0**-12, 1.5  # of the range of losses; the last round takes most of the time
_ROUNDING = 1e-9


def best_under(policies: KnownPolicies, losses: Sequence[Floats], bounds: Floats) -> Codes | None:
    """The codes (C,) of the allowed policy of least summed loss within the bounds, None where there is none.

    By dynamic programming among the policies that a Lagrangian bound leaves: exactly. Where that takes too
    many partial policies, or choices depend on too many others, by an integer programme. Of equal policies
    any.

    Shape: losses[c] (size of choice c,), any finite numbers; bounds (K,), in place of those of `policies`,
    inf where there is none.
    Raises: ConfigError if the integer programme cannot be solved.
    """
    bounded = replace(policies, bounds=bounds)
    found = [np.zeros((0, len(policies.sizes)), dtype=np.int64)]
    for branch in policies.branches:
        space = BranchSpace.of(bounded, branch, losses, ())
        if space is None:
            continue
        programme = IntegerProgramme.of(space)
        multipliers = programme.multipliers()
        if multipliers is None:
            continue
        deepening = Deepening.of(space, losses, multipliers)
        codes = None if deepening is None else deepening.run()
        if codes is None:
            solution = programme.solution()
            codes = found[0] if solution is None else solution[None]
        found.append(codes)
    every = np.concatenate(found)
    return every[summed_loss(losses, every).argmin()] if len(every) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deepening:
    """Dynamic programming among ever more policies, until one of them fits.

    A policy within the bounds b loses no less than min (loss + multipliers (cost - b)) =: `lower`. One that
    loses at most lower + gap has loss + multipliers cost <= lower + gap + multipliers b, which few partial
    policies can come to: the others are dropped. The gap grows until a policy is found, which then is best.

    Source: Held and Karp 1971, doi:10.1007/BF01584070 (Lagrangian bounds); Dyer, Riha and Walker 1995,
    doi:10.1016/0377-0427(94)00048-4 (with dynamic programming, for multiple choices).
    """

    space: BranchSpace
    added: Sequence[Floats]
    multipliers: Floats
    lower: float
    least: float
    greatest: float

    @classmethod
    def of(cls, space: BranchSpace, losses: Sequence[Floats], multipliers: Floats) -> Deepening | None:
        """None where choices depend on too many others."""
        tree = _weighed(space, np.array([[1.0] + [0.0] * len(multipliers), [1.0, *multipliers]]))
        if tree.entries > MOST_ENTRIES:
            return None
        least, lower = tree.least()
        greatest = -tree.negated().least()[0]
        return cls(
            space=space,
            added=losses,
            multipliers=multipliers,
            lower=float(max(least, lower - multipliers @ space.bounds[1:])),
            least=float(least),
            greatest=float(greatest),
        )

    def run(self) -> Codes | None:
        """Codes (1, C) of the best policy, (0, C) where none fits; None where they are too many."""
        gap = _FIRST_GAP * (self.greatest - self.least)
        while self.lower <= self.greatest + _ROUNDING * abs(self.greatest):
            most = self.lower + gap
            is_all = most >= self.greatest
            found = self._within(np.inf if is_all else most)
            if found is None:
                return None
            if len(found):
                return found
            if is_all:
                break
            gap *= _DEEPER
        return np.zeros((0, len(self.space.kept)), dtype=np.int64)

    def _within(self, most: float) -> Codes | None:
        """As `run`, of the policies that lose at most `most`."""
        space = self.space
        weights = np.append(1.0, self.multipliers)
        factors = [
            (choices, np.concatenate((table, (table @ weights)[..., None]), axis=-1))
            for choices, table in space.factors
        ]
        bounds = np.array([most, *space.bounds[1:], most + self.multipliers @ space.bounds[1:]])
        elimination = ParetoElimination(
            factors,
            [len(codes) for codes in space.kept],
            bounds=bounds,
            wanted=np.arange(len(bounds)) == 0,
            compared=np.arange(len(bounds)) < len(bounds) - 1,
            most_sums=_QUICK_SUMS if len(bounds) <= 4 else _QUICK_SUMS_OF_SEVERAL,
        )
        codes = elimination.run()
        if codes is None:
            return None
        found = space.whole(codes)
        found = found[space.policies.feasible(found)]
        return found[np.argsort(summed_loss(self.added, found), kind="stable")[:1]]


def _weighed(space: BranchSpace, weights: Floats) -> BucketTree:
    """Weighed sums of the loss and the costs, the bounds left out. Shape: weights (n, 1 + K)."""
    factors = [(choices, table @ weights.T) for choices, table in space.factors]
    return BucketTree(factors, [len(codes) for codes in space.kept], len(weights))
