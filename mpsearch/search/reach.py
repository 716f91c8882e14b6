"""What the policies of a space cost at least and at most, and how many of them meet the budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import BudgetError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import ENUMERABLE, CostTable, KnownCosts
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import Codes, all_codes
from mpsearch.search.uncertainty import score_interval

DRAWS = 1 << 16
BINS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of all policies, 0..1, and Wilson's 95% interval of it: one point where every policy was priced.

    `examined` policies were priced, `met` of them counted.
    """

    examined: int
    met: int
    is_exact: bool

    @property
    def value(self) -> float:
        return self.met / self.examined

    @property
    def interval(self) -> tuple[float, float]:
        return (self.value, self.value) if self.is_exact else score_interval(self.value, self.examined)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReach:
    """One cost over all policies, in its own unit.

    `histogram`: shares of the policies in `BINS` equal parts from `least` to `greatest`. `is_exact`: policies
    reach both ends; else none lies outside of them. `bound` and `within`: the budget, and who meets it.
    """

    cost: Objective
    least: float
    least_policy: PrecisionPolicy
    greatest: float
    greatest_policy: PrecisionPolicy
    is_exact: bool
    histogram: tuple[float, ...]
    bound: float | None = None
    within: Share | None = None

    @property
    def is_reachable(self) -> bool:
        return self.bound is None or self.least <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceReach:
    """All costs of a space that are known before training.

    `together`: who meets all bounds on costs at once, None where there is at most one. `problem` says why no
    policy meets them, in the words of the search that would refuse them.
    """

    policies: int
    choices: int
    costs: tuple[CostReach, ...]
    together: Share | None
    problem: str | None

    @property
    def is_feasible(self) -> bool:
        return self.problem is None

    @property
    def feasible_policies(self) -> int | None:
        """How many meet the bounds, where every policy was priced."""
        shares = [reach.within for reach in self.costs if reach.within is not None]
        share = self.together or (shares[0] if shares else None)
        if share is None:
            return self.policies
        return share.met if share.is_exact else None


def reach_of(
    known: KnownCosts, budgets: Budgets, *, costs: Sequence[Objective] | None = None, seed: int = 0
) -> SpaceReach:
    """Price every policy of a small space, `DRAWS` random ones of a large one; the ends are found exactly.

    Only `costs` are told, by default all that are known. Budgets that no policy meets are not an error here:
    they are an answer.
    """
    resolved = known.resolved
    is_exact = resolved.policies <= ENUMERABLE
    if is_exact:
        table = np.concatenate([known.evaluate(codes) for codes in all_codes(resolved)])
    else:
        table = known.evaluate(random_codes(resolved.sizes, DRAWS, seed))
    bounds = budgets.bounds()
    told = known.columns if costs is None else costs
    reaches = tuple(_cost_reach(known, cost, table, bounds.get(cost.name), is_exact) for cost in told)
    bounded = [reach for reach in reaches if reach.bound is not None]
    together = None
    if len(bounded) > 1:
        met = np.logical_and.reduce([table[:, known.columns.index(r.cost)] <= r.bound for r in bounded])
        together = _share(met, is_exact)
    return SpaceReach(
        policies=resolved.policies,
        choices=len(resolved.choices),
        costs=reaches,
        together=together,
        problem=_problem(known, Budgets.parse({r.cost.name: budgets.texts()[r.cost.name] for r in bounded})),
    )


def random_codes(sizes: Codes, count: int, seed: int) -> Codes:
    """Policies drawn evenly, with replacement. Shape: sizes (C,) -> (count, C)."""
    return np.random.default_rng(seed).integers(0, sizes, size=(count, len(sizes)))


def _cost_reach(
    known: KnownCosts,
    cost: Objective,
    table: CostTable,
    bound: float | None,
    is_exact: bool,  # noqa: FBT001
) -> CostReach:
    ends = known.range_of(cost)
    values = table[:, known.columns.index(cost)]
    counts, _ = np.histogram(np.clip(values, ends.least, ends.greatest), BINS, (ends.least, ends.greatest))
    return CostReach(
        cost=cost,
        least=ends.least,
        least_policy=ends.least_policy,
        greatest=ends.greatest,
        greatest_policy=ends.greatest_policy,
        is_exact=ends.is_exact,
        histogram=tuple((counts / len(values)).tolist()),
        bound=bound,
        within=None if bound is None else _share(values <= bound, is_exact),
    )


def _share(met: NDArray[np.bool_], is_exact: bool) -> Share:  # noqa: FBT001
    return Share(examined=len(met), met=int(met.sum()), is_exact=is_exact)


def _problem(known: KnownCosts, budgets: Budgets) -> str | None:
    try:
        known.require_reachable(budgets)
    except BudgetError as error:
        return str(error)
    return None
