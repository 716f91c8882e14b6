"""Exporting a trial while the screen stays alive."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Click
from textual.message import Message
from textual.widgets import Input, Label, Static

from mpsearch.report.inspector.dialog import Dialog, Problem
from mpsearch.report.units import bytes_text, percent_text, seconds_text
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

FORMATS: dict[str, str] = {
    "packed": "packed   the weights in their bits, to run",
    "policy": "policy   one JSON file: a scheme for each layer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    number: int
    format: str
    out: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """How an export ended: `written`, or `problem`, the text of a typed error."""

    request: ExportRequest
    written: Path | None = None
    problem: str = ""
    seconds: float = 0.0


def default_out(run: Run, number: int, format: str) -> str:  # noqa: A002 - the option's name
    """As `mpsearch export` names it."""
    return f"{run.name}-{number}" + (".policy.json" if format == "policy" else "")


def next_command(result: ExportResult) -> str:
    """What to type to run what was written; empty for a policy."""
    if result.written is None or result.request.format != "packed":
        return ""
    return f"mpsearch bench {shlex.quote(str(result.written))}"


class FormatChoice(Static, can_focus=True):
    """One line a format; the chosen one is told by its symbol, not by a colour alone."""

    DEFAULT_CSS = """
    FormatChoice { height: auto; }
    FormatChoice:focus { background-tint: $ink-accent 14%; text-style: bold; }
    """
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left", "choose(-1)"),
        Binding("down,right", "choose(1)"),
        Binding("space", "next"),
    ]

    class Changed(Message):
        """Another format was chosen."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - the widgets' own name for it
        super().__init__(id=id, markup=False)
        self._place = 0
        self._draw()

    @property
    def format(self) -> str:
        return list(FORMATS)[self._place]

    def on_click(self, event: Click) -> None:
        self._choose(min(event.y, len(FORMATS) - 1))

    def action_choose(self, by: int) -> None:
        self._choose(max(0, min(self._place + by, len(FORMATS) - 1)))

    def action_next(self) -> None:
        self._choose((self._place + 1) % len(FORMATS))

    def _choose(self, place: int) -> None:
        if place != self._place:
            self._place = place
            self._draw()
            self.post_message(self.Changed())

    def _draw(self) -> None:
        lines = [
            f"{'●' if place == self._place else '○'} {says}" for place, says in enumerate(FORMATS.values())
        ]
        self.update("\n".join(lines))


class ExportDialog(Dialog[None]):
    """Asks `start` for the export, and shows what `show_result` is given."""

    DEFAULT_CSS = """
    ExportDialog .facts { color: $ink-dim; height: auto; margin-bottom: 1; }
    ExportDialog Horizontal { height: 1; margin-top: 1; }
    ExportDialog .name { width: 4; }
    ExportDialog Input { width: 1fr; }
    ExportDialog .outcome { height: auto; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "export", show=False)]

    def __init__(self, run: Run, record: TrialRecord, start: Callable[[ExportRequest], bool]) -> None:
        super().__init__()
        self._run, self._record, self._start = run, record, start
        self._suggested = ""
        self._began = 0.0
        self.is_busy = False

    def compose(self) -> ComposeResult:
        record = self._record
        with self.box(f"Export trial {record.number}", "tab moves · enter exports · esc closes"):
            yield Static(
                f"{percent_text(record.accuracy)} on validation, {seconds_text(record.latency_s)} predicted, "
                f"{bytes_text(record.memory_bytes)}",
                classes="facts",
            )
            yield FormatChoice(id="format")
            with Horizontal():
                yield Label("to", classes="name")
                yield Input(id="out", select_on_focus=False)
            yield Static("", classes="outcome", markup=False)
            yield Problem()

    def on_mount(self) -> None:
        self._suggest()
        self.query_one("#format").focus()
        self.set_interval(0.5, self._tick)

    @property
    def format(self) -> str:
        return self.query_one(FormatChoice).format

    @on(FormatChoice.Changed)
    def _suggest(self) -> None:
        """The name that goes with the format, unless another was typed."""
        field = self.query_one("#out", Input)
        if field.value in {"", self._suggested}:
            self._suggested = default_out(self._run, self._record.number, self.format)
            field.value = self._suggested

    @on(Input.Submitted)
    def action_export(self) -> None:
        if self.is_busy:
            return
        out = self.query_one("#out", Input).value.strip()
        problem = self.query_one(Problem)
        if not out:
            problem.say("A file or folder to write must be named; got nothing.")
            return
        request = ExportRequest(number=self._record.number, format=self.format, out=Path(out).expanduser())
        if not self._start(request):
            problem.say("Another export is still under way. Wait for its end.")
            return
        self.is_busy, self._began = True, time.monotonic()
        problem.say("")
        self._tick()

    def _tick(self) -> None:
        if self.is_busy:
            seconds = time.monotonic() - self._began
            self._say(f"writing and checking … {seconds:.0f} s   (esc closes, it goes on)")

    def show_result(self, result: ExportResult) -> None:
        self.is_busy = False
        if result.written is None:
            self._say("")
            self.query_one(Problem).say(result.problem)
            return
        command = next_command(result)
        self._say(f"✓ wrote {result.written}" + (f"\nnext  {command}" if command else ""))

    def _say(self, text: str) -> None:
        self.query_one(".outcome", Static).update(text)
