"""A running search on a terminal: redrawn in place, nothing flickers."""

from __future__ import annotations

from threading import RLock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from mpsearch.report.live_panel import LivePanel
from mpsearch.report.live_screen import LiveScreen
from mpsearch.report.search_state import STAGES, SearchState
from mpsearch.report.units import wait_text
from mpsearch.search.events import Event, Notice, SearchFinished
from mpsearch.search.interrupts import uninterrupted


class LiveView:
    """Shows the events that it is called with; a context manager. Notices stay above the view.

    The view is drawn by a thread of its own. At the end one line stays, which says what took how long.
    """

    def __init__(self, console: Console) -> None:
        self.state = SearchState()
        self._lock = RLock()
        self._console = console
        self.panel = LivePanel(self.state, self._lock, console)
        self._screen = LiveScreen(console, self.panel.rows)

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():  # a second Ctrl-C would leave the terminal without its cursor
            self._screen.stop()
        if self.state.started is not None:
            self._console.print(self.summary(is_whole=kind is None))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._console.print(Text(event.message, "yellow" if event.is_warning else "dim"))
        if isinstance(event, SearchFinished) and event.reason in {"timeout", "exhausted"}:
            self._console.print(Text(str(event), "yellow"))
        with self._lock:
            self.state.update(event)

    def summary(self, *, is_whole: bool) -> Text:
        """The stages and their times, in one line."""
        is_ascii = self._console.options.ascii_only
        done, broken = ("x", "!") if is_ascii else ("✓", "■")
        pieces = []
        for stage in STAGES:
            took = self.state.stage_s(stage)
            if took is None:
                continue
            is_broken = stage == self.state.stage and not is_whole
            piece = Text(f"{broken if is_broken else done} {stage}", "yellow" if is_broken else "green")
            if stage == "search":
                piece.append(f" {self.state.finished}/{self.state.total} trials", "")
            pieces.append(piece.append(f" {wait_text(took)}" if took >= 1 else "", "dim"))
        return Text("  ").join(pieces)
