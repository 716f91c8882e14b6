"""The live and the line view, fed with the events of a search."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from mpsearch.report.line_view import LineView
from mpsearch.report.live_view import LiveView
from mpsearch.report.progress import search_view
from mpsearch.report.sparkline import sparkline
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


def events_of(run) -> list[Event]:
    told: list[Event] = [
        StageStarted(stage="task", detail="task digits"),
        StageStarted(stage="profile", detail="profile"),
        *(StageProgress(stage="profile", done=n, total=40, what=f"shape {n}") for n in range(41)),
        Notice(message="This profile is of another machine.", is_warning=True),
        StageStarted(stage="baseline", detail="32-bit baseline"),
        SearchStarted(
            out=Path("runs/digits"),
            objectives=run.objectives,
            budgets=run.budgets,
            policies=7776,
            total=30,
            workers=1,
            baseline_score=0.985,
        ),
    ]
    for record in run.records:
        told += [
            TrialStarted(number=record.number, policy=record.policy, origin=record.origin),
            TrialProgress(number=record.number, step=50, total=200, loss=1.5),
            TrialProgress(number=record.number, step=100, total=200, loss=0.5),
            TrialProgress(number=999, step=1, total=2, loss=0.5),
            TrialFinished(
                record=record,
                finished=record.number + 1,
                total=30,
                on_front=record.number in run.front,
                hypervolume=0.02 * record.number,
                best=run.front.best().record if record.number > 3 else None,
                left_s=12.0,
            ),
        ]
    return told


FINISHED = SearchFinished(reason="done", message="All trials are done.", out=Path("runs/digits"), seconds=1.0)


def test_without_a_terminal_each_event_is_one_plain_line(finished_run):
    console = Console(file=io.StringIO(), width=60)
    with search_view(console) as view:
        assert isinstance(view, LineView)
        for event in [*events_of(finished_run), FINISHED]:
            view(event)
    text = console.file.getvalue()
    lines = text.splitlines()
    assert "\x1b" not in text
    assert sum(line.startswith("trial ") for line in lines) == 30
    assert sum(line.startswith("profile: ") for line in lines) <= 11
    assert any("failed: the loss became NaN" in line for line in lines)
    assert lines[-1] == "done: All trials are done."


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 40), (200, 60)])
def test_on_a_terminal_the_view_fits_and_shows_where_the_search_stands(finished_run, width, height):
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    view = LiveView(console)
    told = events_of(finished_run)
    for event in told[:-1]:
        view(event)
    lines = console.render_lines(view._live.renderable, console.options)
    text = ["".join(segment.text for segment in line).rstrip() for line in lines]
    assert len(text) <= height
    assert max(map(len, text)) <= width
    whole = "\n".join(text)
    for word in ("searching", "29/30", "hypervolume", "best", "running", "step 100/200", "12 s left"):
        assert word in whole


@pytest.mark.parametrize("is_terminal", [True, False])
def test_how_to_go_on_is_told_once(is_terminal):
    console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal)
    ended = dataclasses.replace(
        FINISHED, reason="timeout", message="The time is over.", resume="Give the command again."
    )
    search_view(console)(ended)
    assert console.file.getvalue().count("The time is over. Give the command again.") == 1
    assert console.file.getvalue().count("again") == 1


@pytest.mark.parametrize("count", range(5))
def test_every_moment_before_the_first_trial_can_be_drawn(finished_run, count):
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    view = LiveView(console)
    for event in events_of(finished_run)[:count]:
        view(event)
    console.print(view._live.renderable)


def test_quiet_asks_for_lines_on_a_terminal_too():
    console = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(search_view(console, quiet=True), LineView)
    assert isinstance(search_view(console), LiveView)


def test_a_sparkline_rises_with_its_values_and_keeps_to_its_width():
    assert sparkline([0, 1, 2, 3], 4) == "▁▃▆█"
    assert len(sparkline(list(range(1000)), 16)) == 16
    assert sparkline([1.0, float("nan"), 1.0], 8) == "▁▁"
    assert sparkline([], 8) == ""
