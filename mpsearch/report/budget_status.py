"""How a running search stands against its budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mpsearch.search.best_trial import best_of
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import Objective
from mpsearch.search.trial_record import TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """One budget, or all of them together (`name` is None).

    `met` of `finished` complete trials keep it; `best` is the best of these. Where there is none,
    `nearest` is the trial that misses it least, by `excess`: a share of the bound, or for accuracy the share
    of 1 that is missing.
    """

    name: str | None
    budgets: Budgets
    met: int
    finished: int
    best: TrialRecord | None
    nearest: TrialRecord | None
    excess: float


def budget_statuses(
    budgets: Budgets, records: Iterable[TrialRecord], objectives: Sequence[Objective] = ()
) -> tuple[BudgetStatus, ...]:
    """One a bound, and one for all together where there are several."""
    complete = [record for record in records if record.is_complete]
    single = {name: Budgets.of({name: bound}) for name, bound in budgets.bounds().items()}
    statuses = [_status(name, budget, complete, objectives) for name, budget in single.items()]
    if len(statuses) > 1:
        statuses.append(_status(None, budgets, complete, objectives))
    return tuple(statuses)


def _status(
    name: str | None, budgets: Budgets, complete: list[TrialRecord], objectives: Sequence[Objective]
) -> BudgetStatus:
    excess = {r.number: max(budgets.violations(r.costs, r.accuracy, r.loss).values()) for r in complete}
    met = [record for record in complete if excess[record.number] <= 0]
    nearest = min(complete, key=lambda r: (excess[r.number], r.number), default=None)
    return BudgetStatus(
        name=name,
        budgets=budgets,
        met=len(met),
        finished=len(complete),
        best=best_of(met, objectives),
        nearest=None if met else nearest,
        excess=0.0 if met or nearest is None else excess[nearest.number],
    )
