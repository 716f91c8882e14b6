"""Training again for weights that a run did not keep."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from mpsearch.search.constrained import deciding_budgets
from mpsearch.search.events import Notice, OnEvent
from mpsearch.search.journal import Journal
from mpsearch.search.space import SearchSpace
from mpsearch.search.trial_job import Outcome
from mpsearch.search.trial_record import TrialRecord


def retraining_of(space: SearchSpace, journal: Journal, emit: OnEvent, *, is_rejudged: bool) -> Retraining:
    """Of all on the front without weights, where something may have brought them there.

    Else, whose weights are missing was copied without them on purpose. `is_rejudged` as `RunFacts`.
    """
    may_have_risen = (
        is_rejudged
        or bool(space.overrides)
        or any(record.origin == "repeat" for record in journal.records)
        or deciding_budgets(space.objectives, space.budgets) is not None
    )
    return Retraining(journal.without_weights() if may_have_risen else (), journal, emit)


class Retraining:
    """Finished trials, without weights, that overrides or repeats put on the front: trained for them alone.

    Their records stay as they are.
    """

    def __init__(self, records: Iterable[TrialRecord], journal: Journal, emit: OnEvent) -> None:
        self._due = deque(records)
        self._running: dict[int, TrialRecord] = {}
        self._risen: set[int] = set()
        self._journal = journal
        self._emit = emit

    def note_risen(self, numbers: Iterable[int]) -> None:
        """A second seed let a point fall, and these, which it had beaten, have come onto the front."""
        self._risen.update(numbers)

    def ask_for_risen(self) -> None:
        """The weights of those noted; asked for last, for many leave the front once more."""
        known = {record.number for record in (*self._due, *self._running.values())}
        wanted = self._risen - known
        self._risen.clear()
        if wanted:
            self._due.extend(r for r in self._journal.without_weights() if r.number in wanted)

    @property
    def is_due(self) -> bool:
        """Whether there are some that have not begun."""
        return bool(self._due)

    def begin(self) -> TrialRecord:
        """The next one, to be trained now."""
        record = self._due.popleft()
        self._running[record.number] = record
        self._emit(
            Notice(
                message=f"Trial {record.number} is trained again for its weights: they were not kept when it "
                "ended, and it is on the front now."
            )
        )
        return record

    def __contains__(self, number: int) -> bool:
        """Whether trial `number` runs for its weights."""
        return number in self._running

    def finish(self, outcome: Outcome, weights: Path) -> None:
        """Keep the weights, and say so if this is another score."""
        record = self._running.pop(outcome.number)
        if outcome.failure is not None:
            text = f"Trial {record.number} failed when it was trained again: {outcome.failure}"
            self._emit(Notice(message=text, is_warning=True))
            return
        self._journal.keep_weights(record.number, weights)
        first = record.every_training[0].accuracy
        if outcome.score != first:
            text = (
                f"Trial {record.number} scored {outcome.score:.4f} when it was trained again, "
                f"{first:.4f} before: this machine or its libraries compute otherwise."
            )
            self._emit(Notice(message=text, is_warning=True))
