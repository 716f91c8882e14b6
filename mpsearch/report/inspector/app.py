"""`mpsearch inspect`: a run on a full screen, alive while the search goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter, NoColor
from textual.screen import Screen
from textual.worker import get_current_worker

from mpsearch.errors import MpsearchError
from mpsearch.report.inspector.ascii_filter import AsciiFilter
from mpsearch.report.inspector.export_dialog import ExportDialog, ExportRequest, ExportResult
from mpsearch.report.inspector.inspect_screen import InspectScreen
from mpsearch.report.inspector.palette import DARK, LIGHT, MONO, PALETTES, Palette
from mpsearch.report.inspector.run_watch import RunWatch, Sight
from mpsearch.search.run import Run

LOOK_EVERY_S = 1.0
ThemeChoice = Literal["dark", "light", "mono"]
_CHOICES: dict[ThemeChoice, Palette] = {"dark": DARK, "light": LIGHT, "mono": MONO}


class InspectorApp(App[None]):
    """`task`: where the task's code lies now, if it was moved since the search; for exports.

    `look_every_s`: how often the run folder is looked at; None for never.
    """

    TITLE = "mpsearch inspect"
    ENABLE_COMMAND_PALETTE = False
    CSS = "ToastRack { margin-bottom: 2; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit", show=False),
        Binding("ctrl+c,ctrl+q", "quit", "quit", show=False, priority=True),
        Binding("T", "next_theme", "theme", show=False),
    ]

    def __init__(
        self,
        run: Run,
        *,
        theme: ThemeChoice = "dark",
        is_ascii: bool = False,
        task: str | None = None,
        look_every_s: float | None = LOOK_EVERY_S,
    ) -> None:
        self._first_palette = _CHOICES[theme]
        self._extra_filters: list[LineFilter] = [AsciiFilter()] if is_ascii else []
        super().__init__(ansi_color=True if theme == "mono" else None)
        if theme == "mono":
            self.no_color = True
            self._extra_filters.append(NoColor())
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        self.theme = self._first_palette.name
        self._task_name, self._look_every_s = task, look_every_s
        self._watch_folder = RunWatch(run, exporter=run.exporter)
        self._is_looking = False
        self._is_exporting = False
        self.main = InspectScreen(run)

    @property
    def palette(self) -> Palette:
        return PALETTES.get(self.theme, DARK)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._extra_filters]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """For the moment before the first theme is set."""
        return self._first_palette.theme().variables

    def get_default_screen(self) -> Screen[None]:
        return self.main

    def on_mount(self) -> None:
        if self._look_every_s is not None:
            self.set_interval(self._look_every_s, self.look)
            self.look()

    def action_next_theme(self) -> None:
        """Dark and light in turn; a terminal without colours stays so."""
        if self.palette is not MONO:
            self.theme = (LIGHT if self.palette is DARK else DARK).name
            self.main.redraw()

    # -- following the search

    def look(self) -> None:
        """One look at the run folder, off the screen's own thread; never two at once."""
        if not self._is_looking:
            self._is_looking = True
            self.run_worker(self._look, thread=True, group="look")

    def _look(self) -> None:
        sight = self._watch_folder.look()
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._seen, sight)

    def _seen(self, sight: Sight) -> None:
        self._is_looking = False
        self.main.see(sight)

    # -- exporting

    def start_export(self, request: ExportRequest) -> bool:
        """Begin an export in a thread of its own; False while another is under way."""
        if self._is_exporting:
            return False
        self._is_exporting = True
        run = self.main.run
        self.run_worker(lambda: self._export(run, request), thread=True, group="export")
        return True

    def _export(self, run: Run, request: ExportRequest) -> None:
        began = time.monotonic()
        written, problem = None, ""
        try:
            located = run if self._task_name is None else run.with_task_at(self._task_name)
            written = located.export(request.number, request.out, format=request.format)
        except (MpsearchError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        result = ExportResult(
            request=request, written=written, problem=problem, seconds=time.monotonic() - began
        )
        if not get_current_worker().is_cancelled:
            self.call_from_thread(self._exported, result)

    def _exported(self, result: ExportResult) -> None:
        self._is_exporting = False
        if isinstance(self.screen, ExportDialog) and self.screen.is_busy:
            self.screen.show_result(result)
        elif result.written is not None:
            self.notify(f"Trial {result.request.number} is written to {result.written}", timeout=8)
        else:
            self.notify(result.problem, severity="error", timeout=12)
