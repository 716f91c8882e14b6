"""The live view at many sizes, and what it writes to a terminal."""

from __future__ import annotations

import dataclasses
import io
import re
import threading

import pytest
from rich.console import Console

from mpsearch.report.live_screen import LiveScreen
from mpsearch.report.live_view import LiveView
from mpsearch.report.progress import search_view
from mpsearch.report.sparkline import sparkline
from mpsearch.search.budgets import Budgets
from mpsearch.search.events import Notice, SearchStarted, TrialFinished, TrialProgress

SIZES = [(20, 4), (40, 12), (50, 24), (60, 20), (80, 12), (80, 24), (80, 60), (101, 21), (120, 36), (200, 50)]
TIGHT = Budgets(memory_bytes=1000, latency_s=1e-4, accuracy=0.5)


def terminal(width=80, height=24, encoding="utf-8") -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)


def frame(view: LiveView, width: int, height: int) -> list[str]:
    return ["".join(part.text for part in row) for row in view.panel.rows(width, height)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("workers", [1, 8])
def test_every_moment_fits_every_terminal(finished_run, search_story, width, height, workers):
    view = LiveView(terminal())
    for event in search_story(finished_run, workers=workers, budgets=TIGHT):
        view(event)
        if isinstance(event, TrialProgress):
            continue
        rows = frame(view, width, height)
        assert len(rows) == min(height, 60)
        assert max(map(len, rows)) <= width


@pytest.mark.parametrize(("width", "height"), [(79, 23), (119, 35), (199, 49)])
def test_it_tells_where_the_search_stands(finished_run, search_story, width, height):
    view = LiveView(terminal())
    for event in list(search_story(finished_run, earlier=8, workers=2, budgets=TIGHT))[:-8]:
        view(event)
    whole = "\n".join(frame(view, width, height))
    for part in (
        "searching", "/35 trials", " left", "trials/h", "2 workers", "hypervolume", "no trial meets", "knee",
        "100/200", "loss 0.500", "memory ≤ 1 KB", "the budget", "accuracy ≥ 50%",
        "all together", "latency →",
    ):  # fmt: skip
        assert part in whole


@pytest.mark.parametrize(("width", "height"), [(79, 23), (119, 35), (199, 49)])
def test_parts_keep_their_rows_while_trials_come_in(finished_run, search_story, width, height):
    view = LiveView(terminal())
    marks = ("trials  ", "hypervolume", "best ", "knee  ", "running", "all together", "latency →")
    seen: dict[str, set[tuple[int, int]]] = {mark: set() for mark in marks}
    for event in search_story(finished_run, workers=3, budgets=TIGHT):
        view(event)
        if view.state.started is None:
            continue
        rows = frame(view, width, height)
        for mark in marks:
            places = [(place, row.index(mark)) for place, row in enumerate(rows) if mark in row]
            seen[mark].add(places[0] if places else (-1, -1))
    assert {mark: len(places) for mark, places in seen.items()} == dict.fromkeys(marks, 1)


def test_axes_hold_still_once_the_range_is_known(finished_run, search_story):
    view = LiveView(terminal())
    ticks = set()
    for event in search_story(finished_run):
        view(event)
        if isinstance(event, TrialFinished) and event.finished > 12:
            rows = frame(view, 79, 23)
            assert [row.find("┤") for row in rows if "┤" in row] == [7] * sum("┤" in row for row in rows)
            ticks.add((rows[-1], tuple((place, row[:8]) for place, row in enumerate(rows) if "┤" in row)))
    assert len(ticks) == 1


def test_a_point_that_joins_the_front_is_marked_as_new_and_the_mark_goes(finished_run, search_story):
    now = [0.0]
    view = LiveView(terminal())
    view.state.clock = lambda: now[0]
    for event in search_story(finished_run):
        view(event)
        if isinstance(event, TrialFinished) and event.on_front and event.finished > 10:
            assert f"new {event.record.number}" in "\n".join(frame(view, 119, 35))
            now[0] += 60
            assert "new" not in "\n".join(frame(view, 119, 35))
            return
    pytest.fail("no trial came onto the front")


def test_the_last_failure_tells_its_reason(finished_run, search_story):
    view = LiveView(terminal())
    for event in search_story(finished_run):
        view(event)
    for size in ((79, 23), (119, 35)):
        whole = "\n".join(frame(view, *size))
        assert re.search(r"failed\s+1  trial 29: the loss b", whole)


def test_without_unicode_it_is_ascii_of_the_same_shape(finished_run, search_story):
    plain, rich = LiveView(terminal(encoding="ascii")), LiveView(terminal())
    for event in search_story(finished_run, workers=2):
        plain(event)
        rich(event)
    for size in ((79, 23), (119, 35), (199, 49)):
        rows = frame(plain, *size)
        assert all(row.isascii() for row in rows)
        assert [row.rstrip()[-3:] for row in rows if "all together" in row] != []
        assert len(rows) == len(frame(rich, *size))


def test_only_what_changed_is_built_anew(finished_run, search_story):
    view = LiveView(terminal())
    view.state.clock = lambda: 0.0
    for event in search_story(finished_run):
        view(event)
        if view.state.finished > 20 and isinstance(event, TrialProgress) and event.step == 50:
            break
    before = view.panel.rows(79, 23)
    view(dataclasses.replace(event, step=77))
    now = view.panel.rows(79, 23)
    changed = [place for place, (a, b) in enumerate(zip(before, now, strict=True)) if a is not b and a != b]
    assert ["running" in "".join(part.text for part in now[place]) for place in changed] == [True]


class Screen:
    """What a terminal shows after all that was written to it: just enough of one for the live screen."""

    def __init__(self, text: str) -> None:
        self.lines, self.row, self.column = [""], 0, 0
        for code, number, kind, letter in re.findall(r"(\x1b\[\??(\d*)([A-Za-z]))|([\s\S])", text):
            if code:
                self._control(kind, int(number or 0))
            else:
                self._letter(letter)

    def _control(self, kind: str, number: int) -> None:
        if kind == "A":
            self.row -= number or 1
        elif kind == "B":
            self.row += number or 1
        elif kind == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif kind == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        assert 0 <= self.row < len(self.lines)

    def _letter(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
            self.column += 1


def written(console: Console) -> str:
    console.file.flush()
    return console.file.buffer.getvalue().decode()


def test_the_terminal_shows_the_last_frame_below_all_notices_and_nothing_else(finished_run, search_story):
    console = terminal(120, 36)
    view = LiveView(console)
    screen = LiveScreen(console, view.panel.rows)
    console.push_render_hook(screen)
    view.state.clock = lambda: 0.0
    for count, event in enumerate(search_story(finished_run, workers=2)):
        view(event)
        if count % 3 == 0:
            screen.refresh()
    console.print("printed by a task")
    screen.refresh()
    shown = Screen(written(console)).lines
    assert shown[:2] == ["This profile is of another machine.", "printed by a task"]
    assert shown[2:] == [row.rstrip() for row in frame(view, 119, 35)] + [""] or [
        line.rstrip() for line in shown[2:]
    ] == [row.rstrip() for row in frame(view, 119, 35)] + [""]


def test_a_frame_without_changes_writes_nothing(finished_run, search_story):
    console = terminal()
    view = LiveView(console)
    view.state.clock = lambda: 0.0
    screen = LiveScreen(console, view.panel.rows)
    for event in search_story(finished_run):
        view(event)
    screen.refresh()
    before = written(console)
    screen.refresh()
    assert written(console) == before


def test_what_a_user_types_does_not_shift_the_rows():
    console = terminal()
    rows = ["one", "two"]
    screen = LiveScreen(console, lambda *_: [console.render_lines(row, pad=False)[0] for row in rows])
    screen.refresh()
    console.file.write("^C")
    rows[0] = "three"
    screen.refresh()
    assert Screen(written(console)).lines[:2] == ["three", "two"]


def test_a_narrower_terminal_has_wrapped_the_rows():
    console = terminal(80, 24)
    screen = LiveScreen(console, lambda *_: [console.render_lines("x" * 60, pad=False)[0]])
    screen.refresh()
    written(console)
    console.size = (40, 24)
    before = len(written(console))
    screen.refresh()
    assert "\x1b[2A" in written(console)[before:]  # the row takes two of 40 now


def test_it_leaves_the_terminal_as_it_was(finished_run, search_story):
    console = terminal()
    threads = threading.active_count()

    def interrupted() -> None:
        with LiveView(console) as view:
            for event in search_story(finished_run):
                view(event)
                if isinstance(event, SearchStarted):
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = written(console)
    shown = [line for line in Screen(text).lines if line]
    assert shown == [
        "This profile is of another machine.",
        "✓ task  ✓ profile  ✓ baseline  ■ search 0/35 trials",
    ]
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert threading.active_count() == threads


def test_a_finished_search_leaves_one_line(finished_run, search_story, search_finished):
    console = terminal()
    with LiveView(console) as view:
        for event in [*search_story(finished_run), search_finished]:
            view(event)
    shown = [line for line in Screen(written(console)).lines if line]
    assert shown[-1] == "✓ task  ✓ profile  ✓ baseline  ✓ search 30/35 trials"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_how_to_go_on_is_told_once(is_terminal, search_finished):
    console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal)
    ended = dataclasses.replace(
        search_finished, reason="timeout", message="The time is over.", resume="Give the command again."
    )
    search_view(console)(ended)
    assert console.file.getvalue().count("The time is over. Give the command again.") == 1


def test_notices_are_told_once_and_warnings_stand_out():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    view = LiveView(console)
    view(Notice(message="careful", is_warning=True))
    assert console.file.getvalue() == "\x1b[33mcareful\x1b[0m\n"


def test_a_sparkline_rises_with_its_values_and_keeps_to_its_width():
    assert sparkline([0, 1, 2, 3], 4) == "▁▃▆█"
    assert len(sparkline(list(range(1000)), 16)) == 16
    assert sparkline([1.0, float("nan"), 1.0], 8) == "▁▁"
    assert sparkline([], 8) == ""
