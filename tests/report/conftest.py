"""The events of a search that did what a finished run holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpsearch.search.budgets import Budgets
from mpsearch.search.costs import Costs
from mpsearch.search.events import (
    Event,
    Notice,
    SearchFinished,
    SearchStarted,
    StageProgress,
    StageStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.front_keeper import FrontKeeper
from mpsearch.search.history import run_history
from mpsearch.search.run import Run


def started(run: Run, *, earlier: int = 0, workers: int = 1, budgets: Budgets | None = None) -> SearchStarted:
    """The event with which the trials begin, `earlier` of them being there."""
    fields = [field for field in Costs.__slots__ if getattr(run.records[0].costs, field) is not None]
    extremes = [
        Costs(**{field: pick(getattr(record.costs, field) for record in run.records) for field in fields})
        for pick in (min, max)
    ]
    keeper = FrontKeeper(run.objectives, run.reference_point, run.records[:earlier])
    return SearchStarted(
        name="digits",
        out=Path("runs/digits"),
        objectives=run.objectives,
        budgets=run.budgets if budgets is None else budgets,
        policies=7776,
        total=len(run.records) + 5,
        workers=workers,
        baseline_score=0.985,
        baseline_costs=extremes[1],
        least_costs=extremes[0],
        greatest_costs=extremes[1],
        records=run.records[:earlier],
        history=run_history(run)[:earlier],
        front=tuple(sorted(keeper.numbers)),
    )


def story(run: Run, *, earlier: int = 0, workers: int = 1, budgets: Budgets | None = None) -> Iterator[Event]:
    """All events up to the last trial of the run; `workers` trials are always under way."""
    begins = started(run, earlier=earlier, workers=workers, budgets=budgets)
    yield StageStarted(stage="task", detail="task digits")
    yield StageStarted(stage="profile", detail="the hardware profile")
    yield from (StageProgress(stage="profile", done=n, total=40, what=f"shape {n}") for n in range(41))
    yield Notice(message="This profile is of another machine.", is_warning=True)
    yield StageStarted(stage="baseline", detail="32-bit baseline")
    yield begins
    waiting = list(run.records[earlier:])
    running: list = []
    done = list(run.records[:earlier])
    while waiting or running:
        while waiting and len(running) < workers:
            record = waiting.pop(0)
            running.append(record)
            yield TrialStarted(number=record.number, policy=record.policy, origin=record.origin)
        for record in running:
            yield TrialProgress(number=record.number, step=50, total=200, loss=1.5)
            yield TrialProgress(number=record.number, step=100, total=200, loss=0.5)
        yield TrialProgress(number=999, step=1, total=2, loss=0.5)  # late, of nobody
        record = running.pop(0)
        done.append(record)
        keeper = FrontKeeper(run.objectives, run.reference_point, done)
        met = [r for r in done if r.is_complete and begins.budgets.are_met_by(r.costs, r.accuracy)]
        yield TrialFinished(
            record=record,
            finished=len(done),
            total=begins.total,
            front=tuple(sorted(keeper.numbers)),
            knee=keeper.knee(lambda r: begins.budgets.are_met_by(r.costs, r.accuracy)),
            hypervolume=keeper.hypervolume,
            best=max(met, key=lambda r: r.accuracy, default=None),
        )


@pytest.fixture
def search_started():
    """The function `started`."""
    return started


@pytest.fixture
def search_story():
    """The function `story`."""
    return story


@pytest.fixture
def search_finished() -> SearchFinished:
    return SearchFinished(
        reason="done", message="All trials are done.", out=Path("runs/digits"), seconds=1.0, front=(1, 2)
    )
