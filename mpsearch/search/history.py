"""How a run's hypervolume grew, trial by trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mpsearch.search.front import competitors
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.objective import Objective
from mpsearch.search.overrides import Overrides
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
    return history_of(run.records, run.objectives, run.reference_point, run.overrides)


def history_of(
    records: Iterable[TrialRecord],
    objectives: tuple[Objective, ...],
    reference: Mapping[str, float],
    overrides: Overrides,
) -> tuple[HistoryPoint, ...]:
    """As `run_history`, of records that are not a run yet; `reference` as `Run.reference_point`."""
    finished = sorted(records, key=lambda r: (r.ended, r.number))
    competing = {r.number for r in competitors(finished, overrides)}
    keeper = FrontKeeper(objectives, reference)
    points: list[HistoryPoint] = []
    busy_s, busy_until = 0.0, float("-inf")
    for record in finished:
        # What lies before `busy_until` is counted already: parallel trials overlap.
        ended = datetime.fromisoformat(record.ended).timestamp()
        began = max(ended - record.seconds, busy_until)
        busy_s += max(0.0, ended - began)
        busy_until = max(busy_until, ended)
        keeper = keeper.with_record(record) if record.number in competing else keeper
        points.append(
            HistoryPoint(
                trials=len(points) + 1,
                number=record.number,
                search_s=busy_s,
                hypervolume=keeper.hypervolume,
            )
        )
    return tuple(points)
