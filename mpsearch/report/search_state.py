"""What is known about a running search: the sum of its events, for a view to draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.budget_status import BudgetStatus, budget_statuses
from mpsearch.report.pace import Estimate, Pace
from mpsearch.search.best_trial import best_of
from mpsearch.search.events import (
    Event,
    Notice,
    RungFinished,
    SearchFinished,
    SearchStarted,
    Stage,
    StageProgress,
    StageStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.objective import Objective, first_learnt
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.trial_record import Origin, Rung, TrialRecord

STAGES: tuple[Stage, ...] = ("task", "profile", "baseline", "sensitivity", "search", "test")
NEW_S = 6.0  # for so long a point counts as new on the front
_MOST_LOSSES = 400


@dataclass(slots=True)
class RunningTrial:
    """What a worker is on, for `share` of its steps. `losses`: pairs of step and loss.

    `record` once the trial has ended; `rung` once it has scored at a lower fidelity.
    """

    number: int
    policy: PrecisionPolicy
    origin: Origin
    share: float = 1.0
    step: int = 0
    total: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    record: TrialRecord | None = None
    rung: Rung | None = None

    @property
    def is_over(self) -> bool:
        return self.record is not None or self.rung is not None

    @property
    def done(self) -> float:
        """The share of its steps that are made."""
        return self.step / self.total if self.total else 0.0


@dataclass(slots=True)
class StageTime:
    """When a stage began and ended, by the state's clock; `ended` is None while it lasts."""

    began: float
    ended: float | None = None


@dataclass(slots=True)
class SearchState:
    """Fed with events by `update`; every field is what the events so far said last.

    `slots` has a place for each trial that may run at a time, which keeps its last until the next begins.
    `hypervolumes` has one value a finished trial, those of earlier calls included. `waiting` trials have
    scored at a lower fidelity. `changes` counts all events but progress.
    """

    clock: Callable[[], float] = time.monotonic
    stage: Stage | None = None
    stage_detail: str = ""
    stage_progress: StageProgress | None = None
    stage_times: dict[Stage, StageTime] = field(default_factory=dict)
    started: SearchStarted | None = None
    records: dict[int, TrialRecord] = field(default_factory=dict)
    recent: list[TrialRecord] = field(default_factory=list)
    slots: list[RunningTrial | None] = field(default_factory=list)
    finished: int = 0
    waiting: int = 0
    total: int = 0
    front: tuple[int, ...] = ()
    knee: int | None = None
    best: TrialRecord | None = None
    last: TrialFinished | None = None
    hypervolumes: list[float] = field(default_factory=list)
    failures: list[TrialRecord] = field(default_factory=list)
    ended: SearchFinished | None = None
    began: float = 0.0
    changes: int = 0
    _pace: Pace | None = None
    _joined: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def update(self, event: Event) -> None:
        self.changes += not isinstance(event, (StageProgress, TrialProgress))
        _HANDLERS[type(event)](self, event)

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.began

    def stage_s(self, stage: Stage) -> float | None:
        """How long a stage took or has taken so far; None if it has not begun."""
        times = self.stage_times.get(stage)
        if times is None:
            return None
        return (self.clock() if times.ended is None else times.ended) - times.began

    @property
    def stages(self) -> list[Stage]:
        """All but one that was passed over: sensitivities are found out where a sampler asks for them."""
        reached = STAGES.index(self.stage) if self.stage is not None else 0
        return [
            stage
            for stage in STAGES
            if stage != "sensitivity" or stage in self.stage_times or STAGES.index(stage) >= reached
        ]

    @property
    def running(self) -> list[RunningTrial]:
        return [trial for trial in self.slots if trial is not None and not trial.is_over]

    @property
    def trials_per_hour(self) -> float | None:
        return None if self._pace is None else self._pace.trials_per_hour

    def estimate(self) -> Estimate | None:
        return None if self._pace is None else self._pace.estimate([trial.done for trial in self.running])

    @property
    def learnt(self) -> Objective:
        """What rows and the plot tell of a trial: accuracy, or the loss where that is searched for."""
        return first_learnt(() if self.started is None else self.started.objectives)

    @property
    def has_knee(self) -> bool:
        """Whether there is a trade-off: of one objective there is a best alone."""
        return self.started is None or len(self.started.objectives) > 1

    @property
    def budget_count(self) -> int:
        """How many `budgets` there are."""
        count = 0 if self.started is None else len(self.started.budgets.bounds())
        return count + (count > 1)

    def budgets(self) -> tuple[BudgetStatus, ...]:
        if self.started is None:
            return ()
        return budget_statuses(self.started.budgets, self.records.values(), self.started.objectives)

    def complete(self) -> Sequence[TrialRecord]:
        return [record for record in self.records.values() if record.is_complete]

    def is_wanted(self, record: TrialRecord) -> bool:
        """Whether a complete trial meets the budgets and what the user pinned and forbade."""
        started = self.started
        return started is None or (
            started.budgets.are_met_by(record.costs, record.accuracy, record.loss)
            and started.overrides.allows(record.policy)
        )

    def new(self) -> frozenset[int]:
        """Trials that came onto the front a moment ago."""
        since = self.clock() - NEW_S
        return frozenset(n for n, joined in self._joined.items() if joined > since and n in self.front)

    @property
    def gain(self) -> float | None:
        """How much hypervolume the sampler has added to what the uniform policies reach."""
        anchors = sum(record.origin == "anchor" for record in self.records.values())
        if not anchors or len(self.hypervolumes) <= anchors:
            return None
        return self.hypervolumes[-1] - self.hypervolumes[anchors - 1]


def _enter(state: SearchState, stage: Stage) -> None:
    _leave(state)
    state.stage = stage
    state.stage_times.setdefault(stage, StageTime(began=state.clock()))


def _leave(state: SearchState) -> None:
    if state.stage is not None:
        state.stage_times[state.stage].ended = state.clock()


def _stage_started(state: SearchState, event: StageStarted) -> None:
    _enter(state, event.stage)
    state.stage_detail, state.stage_progress = event.detail, None


def _stage_progress(state: SearchState, event: StageProgress) -> None:
    state.stage_progress = event


def _search_started(state: SearchState, event: SearchStarted) -> None:
    _enter(state, "search")
    state.stage_progress = None
    state.started = event
    state.records = {record.number: record for record in pooled(event.records)}
    state.recent = sorted(event.records, key=lambda record: (record.ended, record.number))
    state.failures = [record for record in state.recent if record.is_failed]
    state.finished, state.total, state.waiting = event.finished, event.total, event.waiting
    state.front, state.knee = event.front, event.knee
    met = [record for record in state.complete() if state.is_wanted(record)]
    state.best = best_of(met, event.objectives)
    state.hypervolumes = [point.hypervolume for point in event.history]
    state.slots = [None] * (event.workers * event.batch)
    state._pace = Pace(
        clock=state.clock,
        total=event.total,
        workers=event.workers,
        limit_s=event.limit_s,
        earlier=state.recent,
    )


def _trial_started(state: SearchState, event: TrialStarted) -> None:
    trial = RunningTrial(number=event.number, policy=event.policy, origin=event.origin, share=event.share)
    state.waiting = event.waiting
    free = (place for place, held in enumerate(state.slots) if held is None or held.is_over)
    place = next(free, None)
    if place is None:
        state.slots.append(trial)
    else:
        state.slots[place] = trial


def _trial_progress(state: SearchState, event: TrialProgress) -> None:
    trial = next((trial for trial in state.running if trial.number == event.number), None)
    if trial is not None:  # a late message of a worker whose trial has ended
        trial.step, trial.total = event.step, event.total
        trial.losses = [*trial.losses, (event.step, event.loss)][-_MOST_LOSSES:]


def _rung_finished(state: SearchState, event: RungFinished) -> None:
    for trial in state.running:
        if trial.number == event.number:
            trial.rung = event.rung
    state.waiting = event.waiting
    if state._pace is not None:
        state._pace.rung(event.number, event.rung)


def _trial_finished(state: SearchState, event: TrialFinished) -> None:
    record = event.record
    for trial in state.running:
        if trial.number == record.number:
            trial.record = record
    joined = set(event.front) - set(state.front)
    state._joined.update(dict.fromkeys(joined, state.clock()))
    if record.origin == "repeat":  # it moves the point of its policy
        state.records = {each.number: each for each in pooled([*state.records.values(), record])}
    else:
        state.records[record.number] = record
    state.recent.append(record)
    if record.is_failed:
        state.failures.append(record)
    state.finished, state.total, state.waiting = event.finished, event.total, event.waiting
    state.front, state.knee, state.best = event.front, event.knee, event.best
    state.hypervolumes.append(event.hypervolume)
    state.last = event
    if state._pace is not None:
        state._pace.finish(record)


def _search_finished(state: SearchState, event: SearchFinished) -> None:
    _leave(state)
    state.ended = event
    state.slots = [None] * len(state.slots)


def _nothing(_state: SearchState, _event: Event) -> None:
    """A notice is shown once, above the view."""


_HANDLERS: dict[type[Event], Callable[[SearchState, object], None]] = {
    StageStarted: _stage_started,  # type: ignore[dict-item]
    StageProgress: _stage_progress,  # type: ignore[dict-item]
    Notice: _nothing,  # type: ignore[dict-item]
    SearchStarted: _search_started,  # type: ignore[dict-item]
    TrialStarted: _trial_started,  # type: ignore[dict-item]
    TrialProgress: _trial_progress,  # type: ignore[dict-item]
    RungFinished: _rung_finished,  # type: ignore[dict-item]
    TrialFinished: _trial_finished,  # type: ignore[dict-item]
    SearchFinished: _search_finished,  # type: ignore[dict-item]
}
