"""Who competes for the answer where budgets decide it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import Objective, learnt_of
from mpsearch.search.trial_record import TrialRecord


def deciding_budgets(objectives: Sequence[Objective], budgets: Budgets) -> Budgets | None:
    """The budgets, where only trials within them may be on the front; else None.

    With one objective the front is an answer, not a trade-off: the best within the budgets. Where training
    tells none of the objectives it would be the cheapest policies, whatever they answer.
    """
    decide = budgets and (len(objectives) == 1 or learnt_of(objectives) is None)
    return budgets if decide else None


def total_excess(record: TrialRecord, budgets: Budgets) -> float:
    """How far a complete trial is out of all bounds: 0 where it meets them; see `Budgets.violations`."""
    excess = budgets.violations(record.costs, record.accuracy, record.loss).values()
    return sum(max(0.0, value) for value in excess)


def least_excess(records: Iterable[TrialRecord], budgets: Budgets) -> tuple[TrialRecord, ...]:
    """Those that meet the budgets; where there are none, those that miss them least.

    Source: constrained dominance, Deb et al. 2002, 10.1109/4235.996017.
    """
    excess = [(total_excess(record, budgets), record) for record in records]
    least = min((value for value, _ in excess), default=0.0)
    return tuple(record for value, record in excess if value == least)
