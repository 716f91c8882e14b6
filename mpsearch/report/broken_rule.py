"""What a trial breaks of what was asked for, in words that every view shares."""

from __future__ import annotations

from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

OVER_BUDGET = "over budget"
NOT_ALLOWED = "not allowed"


def broken_rule(run: Run, record: TrialRecord) -> str | None:
    """Of a complete trial. One that the overrides do not allow competes for nothing, in budget or not."""
    if not run.overrides.allows(record.policy):
        return NOT_ALLOWED
    return None if run.budgets.are_met_by(record.costs, record.accuracy, record.loss) else OVER_BUDGET
