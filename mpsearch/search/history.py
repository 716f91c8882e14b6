"""How a run's hypervolume grew, trial by trial."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mpsearch.search.budgets import Budgets
from mpsearch.search.constrained import deciding_budgets
from mpsearch.search.front import competitors
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.objective import Objective
from mpsearch.search.overrides import Overrides
from mpsearch.search.repeated_trials import PolicyScores, trainings_of
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    from mpsearch.search.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """The run after its `trials`-th finished trial, which was number `number`.

    Units: `search_s` is the time during which at least one trial ran; pauses between calls do not count.
    """

    trials: int
    number: int
    search_s: float
    hypervolume: float


def run_history(run: Run) -> tuple[HistoryPoint, ...]:
    """One point a finished trial, failed ones included, in the order in which they ended.

    The last one's hypervolume is the run's: trials that its overrides exclude add nothing, as in `Front`.
    """
    deciding = deciding_budgets(run.objectives, run.budgets)
    return history_of(run.records, run.objectives, run.reference_point, run.overrides, deciding)


def history_of(
    records: Iterable[TrialRecord],
    objectives: tuple[Objective, ...],
    reference: Mapping[str, float],
    overrides: Overrides,
    deciding: Budgets | None = None,
) -> tuple[HistoryPoint, ...]:
    """As `run_history`, of records that are not a run yet; `reference` as `Run.reference_point`.

    A point with a second seed moves to the mean of both scores: the hypervolume may fall.
    """
    finished = sorted(trainings_of(records), key=lambda r: (r.ended, r.number))
    competing = {r.number for r in competitors(finished, overrides)}
    keeper = FrontKeeper(objectives, reference, deciding=deciding)
    scores = PolicyScores()
    points: list[HistoryPoint] = []
    busy = _Busy(finished)
    for record in finished:
        busy_s = busy.until(record.ended)
        if record.number in competing:
            is_repeat = scores.is_repeat(record)
            scores.add(record)
            keeper = (
                FrontKeeper(objectives, reference, scores.records, deciding=deciding)
                if is_repeat
                else keeper.with_record(record)
            )
        points.append(
            HistoryPoint(
                trials=len(points) + 1,
                number=record.number,
                search_s=busy_s,
                hypervolume=keeper.hypervolume,
            )
        )
    return tuple(points)


class _Busy:
    """For how long at least one of the trials ran, up to a time; each is asked for in order."""

    def __init__(self, records: Iterable[TrialRecord]) -> None:
        spans = [(_timestamp(ended), seconds) for record in records for ended, seconds in _trainings(record)]
        self._left = deque(sorted(spans))
        self._busy_s, self._busy_until = 0.0, float("-inf")

    def until(self, ended: str) -> float:
        """Seconds."""
        while self._left and self._left[0][0] <= _timestamp(ended):
            # What lies before `_busy_until` is counted already: parallel trials overlap.
            end, seconds = self._left.popleft()
            self._busy_s += max(0.0, end - max(end - seconds, self._busy_until))
            self._busy_until = max(self._busy_until, end)
        return self._busy_s


def _trainings(record: TrialRecord) -> Iterator[tuple[str, float]]:
    """When each of a trial's trainings ended, and its seconds: one a rung, and one at full fidelity."""
    yield from ((rung.ended, rung.seconds) for rung in record.rungs)
    if not record.is_stopped:
        yield record.ended, record.seconds - sum(rung.seconds for rung in record.rungs)


def _timestamp(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
