"""A running search on a terminal: redrawn in place, nothing flickers."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mpsearch.report.axis import Quantity
from mpsearch.report.precision_strip import precision_strip
from mpsearch.report.scatter import Mark, MarkKind, Scatter
from mpsearch.report.search_state import STAGES, SearchState
from mpsearch.report.sparkline import sparkline
from mpsearch.report.units import budgets_text, bytes_text, joules_text, percent_text, seconds_text
from mpsearch.search.events import Event, Notice, SearchFinished
from mpsearch.search.objective import Objective
from mpsearch.search.trial_record import TrialRecord

_TEXTS = {"s": seconds_text, "B": bytes_text, "J": joules_text}
_REFRESHES_PER_S = 4
_MOST_RUNNING = 4
_BAR = 28
_PLOT_HEIGHT = 12
_LEAST_PLOT_HEIGHT = 5
_PLOT_FRAME = 5  # title, axis, tick texts, axis title, legend
_NARROW = 80  # below this the legend takes a second line and bars are short
_TITLES = {
    "task": "loading the task",
    "profile": "measuring this machine",
    "baseline": "training the 32-bit baseline",
    "search": "searching",
    "test": "scoring the front on the test split",
}


class LiveView:
    """Shows the events that it is called with; a context manager. Notices stay above the view."""

    def __init__(self, console: Console) -> None:
        self.state = SearchState()
        self._lock = Lock()  # the view is drawn by a thread of its own
        self._console = console
        self._live = Live(
            SearchPanel(self.state, self._lock),
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._console.print(Text(event.message, "yellow" if event.is_warning else "dim"), soft_wrap=False)
        if isinstance(event, SearchFinished) and event.reason in {"timeout", "exhausted"}:
            self._console.print(Text(str(event), "yellow"), soft_wrap=True)
        with self._lock:
            self.state.update(event)


class SearchPanel:
    """The state as text, as much of it as the terminal's height allows."""

    def __init__(self, state: SearchState, lock: Lock) -> None:
        self._state = state
        self._lock = lock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            parts = list(self._parts(options))
        yield from parts

    def _parts(self, options: ConsoleOptions) -> Iterator[RenderableType]:
        state = self._state
        yield self._stages(is_ascii=options.ascii_only)
        if state.started is None or state.stage != "search":
            yield from self._stage()
            return
        rows = self._rows(options)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True, min_width=len("hypervolume"))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for title, row in rows:
            grid.add_row(title, row)
        yield grid
        frame = _PLOT_FRAME + (options.max_width < _NARROW)
        height = min(options.size.height - len(rows) - 3 - frame, _PLOT_HEIGHT)
        if height >= _LEAST_PLOT_HEIGHT and len(state.complete()) > 1:
            yield Text()
            yield self._plot(height)

    def _stages(self, *, is_ascii: bool) -> Text:
        done, now = ("[x]", ">") if is_ascii else ("✓", "▸")
        line = Text(no_wrap=True, overflow="ellipsis")
        for stage in STAGES:
            if stage == self._state.stage:
                line.append(f"{now} {_TITLES[stage]}", "bold cyan")
            elif stage in self._state.stages_seen:
                line.append(f"{done} {stage}", "green")
            else:
                line.append(f"  {stage}", "dim")
            line.append("  ")
        return line

    def _stage(self) -> Iterator[RenderableType]:
        progress = self._state.stage_progress
        if progress is None:
            yield Text(self._state.stage_detail, "dim", no_wrap=True, overflow="ellipsis")
            return
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        grid.add_row(_bar(progress.done, progress.total), f"{progress.done}/{progress.total}", progress.what)
        yield grid

    def _rows(self, options: ConsoleOptions) -> list[tuple[str, RenderableType]]:
        state = self._state
        assert state.started is not None
        last = state.last
        finished = last.finished if last else state.started.finished
        total = last.total if last else state.started.total
        rate = state.trials_per_hour
        counts = f"{finished}/{total}"
        if state.failures:
            counts += f"  {state.failures} failed"
        if rate is not None:
            counts += f"  {rate:.0f} an hour"
        trials = Table.grid(padding=(0, 2, 0, 0))
        width = _BAR if options.max_width >= _NARROW else _BAR // 2
        trials.add_row(_bar(finished, total, width), counts)
        curve = sparkline(state.hypervolumes, 24, is_ascii=options.ascii_only)
        hypervolume = Text.assemble(f"{state.hypervolumes[-1]:.4f}  ", (curve, "green"))
        rows: list[tuple[str, RenderableType]] = [("trials", trials), ("hypervolume", hypervolume)]
        best = last.best if last else None
        budgets = f"  under {budgets_text(state.started.budgets)}" if state.started.budgets else ""
        rows.append(("best", self._trial(best, budgets) if best else Text(f"none yet{budgets}", "dim")))
        for number, trial in list(state.running.items())[:_MOST_RUNNING]:
            text = Text(f"{number:>4}  ")
            text.append_text(precision_strip(trial.policy, width=20))
            if trial.total:
                text.append(f"  step {trial.step}/{trial.total}", "dim")
            if trial.losses:
                curve = sparkline(trial.losses, 16, is_ascii=options.ascii_only)
                text.append(f"  loss {trial.losses[-1]:.3f} ", "dim")
                text.append(curve, "cyan")
            rows.append(("running", text))
        if last is not None:
            note = "  on the front" if last.on_front else ""
            rows.append(("last", self._trial(last.record, note)))
        return rows

    def _trial(self, record: TrialRecord, note: str) -> Text:
        text = Text(f"{record.number:>4}  ")
        text.append_text(precision_strip(record.policy, width=20))
        if not record.is_complete:
            return text.append(f"  failed: {record.failure}", "red")
        text.append(f"  {percent_text(record.accuracy)}", "bold")
        text.append(f"  {seconds_text(record.latency_s)}  {bytes_text(record.memory_bytes)}")
        return text.append(note, "green")

    def _plot(self, height: int) -> Scatter:
        state = self._state
        assert state.started is not None
        cost = next((o for o in state.started.objectives if o.direction == "minimize"), None)
        if cost is None:
            return Scatter([], x=Quantity(name="", text=str), y=Quantity(name="", text=str))
        return Scatter(
            _marks(state, cost),
            x=Quantity(name=cost.name, text=_TEXTS[cost.unit]),
            y=Quantity(name="accuracy on validation", text=percent_text, is_fraction=True),
            height=height,
            x_limit=state.started.budgets.bounds().get(cost.name),
        )


def _marks(state: SearchState, cost: Objective) -> list[Mark]:
    marks, best_score = [], -1.0
    best = state.last.best.number if state.last and state.last.best else None
    for record in sorted(state.complete(), key=lambda r: (getattr(r, cost.field), -r.accuracy)):
        is_stair = record.accuracy > best_score
        best_score = max(best_score, record.accuracy)
        kind: MarkKind = "front" if is_stair else "trial"
        label = ""
        if record.number == best:
            kind, label = "best", f"best {best}"
        elif record.policy.is_full_precision:
            kind, label = "baseline", "32-bit"
        elif record.policy.uniform_scheme is not None:
            kind, label = "uniform", f"all {record.policy.uniform_scheme}"
        marks.append(
            Mark(
                x=getattr(record, cost.field), y=record.accuracy, kind=kind, label=label, is_on_front=is_stair
            )
        )
    return marks


def _bar(done: int, total: int, width: int = _BAR) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=done, width=width, complete_style="cyan")
