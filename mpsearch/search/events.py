"""What a search tells while it runs: frozen dataclasses, for the live view and the log."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.costs import Costs
from mpsearch.search.history import HistoryPoint
from mpsearch.search.objective import Objective
from mpsearch.search.overrides import Overrides
from mpsearch.search.trial_record import Origin, Rung, TrialRecord

Stage = Literal["task", "profile", "baseline", "sensitivity", "search", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base class of everything that a search reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """task (load and trace), profile, baseline, sensitivity (where the sampler uses it and it is not known),
    search, test (the front on the test split), in this order.
    """

    stage: Stage
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress(Event):
    """`done` of `total` steps of a stage other than the search itself; `what` names the current one."""

    stage: Stage
    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """A sentence that the user should read once: a profile of another machine, an interpolated latency."""

    message: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStarted(Event):
    """The trials begin (or go on: `finished` of them were already there, as `records`).

    `waiting`: how many trials wait at a lower fidelity. `policies`: how many the overrides allow.
    Each of `workers` trains `batch` trials together. `least_costs` and `greatest_costs`: each cost alone,
    over all policies of the space. `history`: how the hypervolume grew with `records`. `front` and `knee` as
    in `TrialFinished`.

    Units: no trial begins once `limit_s` has passed; None where time has no limit.
    """

    name: str
    out: Path
    objectives: tuple[Objective, ...]
    budgets: Budgets
    policies: int
    total: int
    workers: int
    batch: int = 1
    baseline_score: float
    baseline_loss: float = math.nan
    baseline_costs: Costs
    least_costs: Costs
    greatest_costs: Costs
    limit_s: float | None = None
    overrides: Overrides = field(default_factory=Overrides)
    records: tuple[TrialRecord, ...] = ()
    history: tuple[HistoryPoint, ...] = ()
    front: tuple[int, ...] = ()
    knee: int | None = None
    waiting: int = 0

    @property
    def finished(self) -> int:
        return len(self.records)

    @property
    def hypervolume(self) -> float:
        return self.history[-1].hypervolume if self.history else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted(Event):
    """A worker has begun a trial, or trains it again at a higher fidelity: for `share` of its steps.

    `waiting` as in `RungFinished`.
    """

    number: int
    policy: PrecisionPolicy
    origin: Origin
    share: float = 1.0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialProgress(Event):
    """An optimizer step (not every one) of a running trial."""

    number: int
    step: int
    total: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RungFinished(Event):
    """A trial has scored at a lower fidelity, which is on disk, and waits: to go on, or for the search's end.

    `waiting`: how many trials wait now.
    """

    number: int
    policy: PrecisionPolicy
    rung: Rung
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFinished(Event):
    """A trial is on disk.

    `front`: the numbers of the trials that nothing beats. `knee`: the one that `Front.knee` names. `best`:
    the most accurate trial that meets budgets and overrides, if there is one. `waiting` as in `RungFinished`.
    """

    record: TrialRecord
    finished: int
    total: int
    front: tuple[int, ...]
    knee: int | None
    hypervolume: float
    best: TrialRecord | None
    waiting: int = 0

    @property
    def on_front(self) -> bool:
        return self.record.number in self.front


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFinished(Event):
    """The search has ended; everything is on disk. `resume` is what to tell where more could be done."""

    reason: Literal["done", "timeout", "exhausted", "interrupted", "failed"]
    message: str
    out: Path
    seconds: float
    resume: str | None = None
    front: tuple[int, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.message} {self.resume}" if self.resume else self.message


OnEvent = Callable[[Event], None]
