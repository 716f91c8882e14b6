"""When failures stop a search: not one policy fails then, but all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import groupby

from mpsearch.errors import TrialError
from mpsearch.search.failure_reason import reason_of
from mpsearch.search.trial_record import TrialRecord

MAX_SAME_FAILURES = 10


class FailureStreak:
    """The reasons of the latest failures, as long as no trial ends well."""

    def __init__(self) -> None:
        self._reasons: deque[str] = deque(maxlen=MAX_SAME_FAILURES)

    def end(self) -> None:
        """A trial has a score."""
        self._reasons.clear()

    def add(self, failure: str) -> None:
        """Raises: TrialError if that was the tenth in a row of one reason."""
        self._reasons.append(reason_of(failure))
        if len(self._reasons) == MAX_SAME_FAILURES and len(set(self._reasons)) == 1:
            raise TrialError(
                f"{MAX_SAME_FAILURES} trials in a row failed for one reason: {failure} "
                "Mend it and give the same command again: their policies come again, as new trials, and "
                "finished ones are kept. If the task's code must change, choose another --out."
            )


def blameless_failures(records: Iterable[TrialRecord]) -> frozenset[int]:
    """Numbers of the trials whose failures stopped a search: it was not their policies that failed."""
    ended = sorted(records, key=lambda record: (record.ended, record.number))
    alike = (
        list(group)
        for _, group in groupby(ended, lambda r: None if r.failure is None else reason_of(r.failure))
    )
    return frozenset(
        record.number
        for group in alike
        if group[0].failure is not None and len(group) >= MAX_SAME_FAILURES
        for record in group
    )
