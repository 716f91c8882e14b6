"""When failures stop a search: not one policy fails then, but all."""

from __future__ import annotations

from collections import deque

from mpsearch.errors import TrialError
from mpsearch.search.failure_reason import reason_of

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
                "Mend it and give the same command again; finished trials are kept."
            )
