"""Which trial is the best of several, by what a search is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpsearch.search.objective import OBJECTIVES, Objective, learnt_of
from mpsearch.search.trial_record import TrialRecord

_TIES = tuple(OBJECTIVES[name] for name in ("accuracy", "latency", "memory"))


def best_of(records: Iterable[TrialRecord], objectives: Sequence[Objective]) -> TrialRecord | None:
    """The complete trial that is best in the learnt objective; None where there are no records.

    Where training tells none of the objectives, the best in the first, then in the next. Ties go to the most
    accurate, then to the fastest, the smallest and the earliest.
    """
    learnt = learnt_of(objectives)
    order = (*(objectives if learnt is None else (learnt,)), *_TIES)
    return min(
        records,
        key=lambda r: (*(objective.sign * objective.of(r) for objective in order), r.number),
        default=None,
    )
