"""A search as one plain line an event."""

from __future__ import annotations

import dataclasses
import io
import re

from rich.console import Console

from mpsearch.report.line_view import LineView
from mpsearch.report.live_view import LiveView
from mpsearch.report.progress import search_view
from mpsearch.search.budgets import Budgets


def lines_of(events) -> list[str]:
    console = Console(file=io.StringIO(), width=60)
    with search_view(console) as view:
        assert isinstance(view, LineView)
        for event in events:
            view(event)
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    return text.splitlines()


def test_each_event_is_one_line_with_its_time(finished_run, search_story, search_finished):
    lines = lines_of([*search_story(finished_run), search_finished])
    assert all(re.match(r" *\d+:\d\d  [a-z]+", line) for line in lines)
    kinds = [line.split()[1] for line in lines]
    assert kinds.count("trial") == 30
    assert kinds.count("profile") <= 11
    assert kinds.count("warning") == kinds.count("search") == 1
    assert any("failed: the loss became NaN" in line for line in lines)
    assert lines[-1].endswith("done       All trials are done.")


def test_columns_of_trials_align(finished_run, search_story):
    budgets = Budgets(memory_bytes=1000)
    lines = lines_of(search_story(finished_run, budgets=budgets))
    trials = [line for line in lines if " trial " in line and "failed" not in line]
    for column in ("%", " µs", "KB", "hypervolume"):
        assert len({line.index(column) for line in trials}) == 1
    assert all("over budget" in line or "front" in line for line in trials)


def test_a_search_that_goes_on_says_what_is_there(finished_run, search_story):
    lines = lines_of(search_story(finished_run, earlier=10))
    (plan,) = (line for line in lines if " search " in line)
    assert (
        "35 trials of 7,776 policies, 10 already there, budgets latency ≤ 70.0 µs, memory ≤ 40.0 KB" in plan
    )


def test_a_search_of_batches_says_so(finished_run, search_started):
    (plan,) = lines_of([dataclasses.replace(search_started(finished_run), workers=2, batch=8)])
    assert "2 workers, batches of 8, budgets" in plan


def test_quiet_asks_for_lines_on_a_terminal_too():
    console = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(search_view(console, quiet=True), LineView)
    assert isinstance(search_view(console), LiveView)
