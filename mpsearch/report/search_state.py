"""What is known about a running search: the sum of its events, for a view to draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.events import (
    Event,
    Notice,
    SearchFinished,
    SearchStarted,
    Stage,
    StageProgress,
    StageStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.trial_record import TrialRecord

STAGES: tuple[Stage, ...] = ("task", "profile", "baseline", "search", "test")
_MOST_LOSSES = 400


@dataclass(slots=True)
class RunningTrial:
    """A trial that a worker is on. `losses` in the order of their steps."""

    policy: PrecisionPolicy
    step: int = 0
    total: int = 0
    losses: list[float] = field(default_factory=list)


@dataclass(slots=True)
class SearchState:
    """Fed with events by `update`; every field is what the events so far said last."""

    clock: Callable[[], float] = time.monotonic
    stage: Stage | None = None
    stage_detail: str = ""
    stage_progress: StageProgress | None = None
    stages_seen: list[Stage] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    started: SearchStarted | None = None
    records: dict[int, TrialRecord] = field(default_factory=dict)
    running: dict[int, RunningTrial] = field(default_factory=dict)
    last: TrialFinished | None = None
    hypervolumes: list[float] = field(default_factory=list)
    started_at: float = 0.0
    finished_here: int = 0

    def update(self, event: Event) -> None:
        _HANDLERS[type(event)](self, event)

    @property
    def trials_per_hour(self) -> float | None:
        seconds = self.clock() - self.started_at
        return 3600 * self.finished_here / seconds if self.finished_here and seconds > 0 else None

    @property
    def failures(self) -> int:
        return sum(not record.is_complete for record in self.records.values())

    def complete(self) -> Sequence[TrialRecord]:
        return [record for record in self.records.values() if record.is_complete]


def _stage_started(state: SearchState, event: StageStarted) -> None:
    state.stage, state.stage_detail, state.stage_progress = event.stage, event.detail, None
    if event.stage not in state.stages_seen:
        state.stages_seen.append(event.stage)


def _stage_progress(state: SearchState, event: StageProgress) -> None:
    state.stage_progress = event


def _notice(state: SearchState, event: Notice) -> None:
    state.notices.append(event)


def _search_started(state: SearchState, event: SearchStarted) -> None:
    state.stage, state.started = "search", event
    state.stages_seen.append("search")
    state.started_at = state.clock()
    state.records.update((record.number, record) for record in event.records)
    state.hypervolumes.append(event.hypervolume)


def _trial_started(state: SearchState, event: TrialStarted) -> None:
    state.running[event.number] = RunningTrial(policy=event.policy)


def _trial_progress(state: SearchState, event: TrialProgress) -> None:
    trial = state.running.get(event.number)
    if trial is not None:  # a late message of a worker whose trial has ended
        trial.step, trial.total = event.step, event.total
        trial.losses = [*trial.losses, event.loss][-_MOST_LOSSES:]


def _trial_finished(state: SearchState, event: TrialFinished) -> None:
    state.running.pop(event.record.number, None)
    state.records[event.record.number] = event.record
    state.hypervolumes.append(event.hypervolume)
    state.last = event
    state.finished_here += 1


def _search_finished(state: SearchState, _event: SearchFinished) -> None:
    state.running.clear()


_HANDLERS: dict[type[Event], Callable[[SearchState, object], None]] = {
    StageStarted: _stage_started,  # type: ignore[dict-item]
    StageProgress: _stage_progress,  # type: ignore[dict-item]
    Notice: _notice,  # type: ignore[dict-item]
    SearchStarted: _search_started,  # type: ignore[dict-item]
    TrialStarted: _trial_started,  # type: ignore[dict-item]
    TrialProgress: _trial_progress,  # type: ignore[dict-item]
    TrialFinished: _trial_finished,  # type: ignore[dict-item]
    SearchFinished: _search_finished,  # type: ignore[dict-item]
}
