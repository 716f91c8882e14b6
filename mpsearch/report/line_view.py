"""A running search where there is no terminal: one plain line an event."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from mpsearch.report.live_rows import clock_text, cost_cell, score_text, shown_costs
from mpsearch.report.pace import about_text
from mpsearch.report.precision_strip import precision_strip
from mpsearch.report.search_state import SearchState
from mpsearch.report.stopped_text import stopped_text
from mpsearch.report.units import budgets_text, percent_text
from mpsearch.search.events import (
    Event,
    Notice,
    RungFinished,
    SearchFinished,
    SearchStarted,
    StageProgress,
    StageStarted,
    TrialFinished,
)
from mpsearch.search.trial_record import after_share

_TENTHS = 10
_KIND = 9  # cells of the second column
_MOST_CELLS = 32  # of the symbols of a policy


class LineView:
    """Prints the events that it is called with; of the steps of a stage only every tenth part.

    Columns: elapsed time, what it is about, what happened. For a trial: its number, how many are finished,
    one symbol a layer, accuracy, costs, whether it is on the front, hypervolume, the time left.
    """

    def __init__(self, console: Console) -> None:
        self.state = SearchState()
        self._console = console
        self._tenth = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self.state.update(event)
        about, line = self._line(event)
        if line:
            text = f"{clock_text(self.state.elapsed_s):>7}  {about:<{_KIND}}  {line}"
            self._console.print(Text(text.rstrip()), soft_wrap=True)

    def _line(self, event: Event) -> tuple[str, str]:
        """What it is about, and what to say; nothing of some events."""
        if isinstance(event, StageStarted):
            self._tenth = 0
            return event.stage, event.detail.removeprefix(f"{event.stage} ")
        if isinstance(event, StageProgress):
            return event.stage, self._progress(event)
        if isinstance(event, Notice):
            return "warning" if event.is_warning else "note", event.message
        if isinstance(event, SearchStarted):
            return "search", _plan(event)
        if isinstance(event, RungFinished):
            return "trial", self._rung(event)
        if isinstance(event, TrialFinished):
            return "trial", self._trial(event)
        if isinstance(event, SearchFinished):
            # Who interrupts a command is told by the command itself.
            return event.reason, "" if event.reason == "interrupted" else str(event)
        return "", ""

    def _progress(self, event: StageProgress) -> str:
        tenth = _TENTHS * event.done // max(event.total, 1)
        if tenth <= self._tenth:
            return ""
        self._tenth = tenth
        return f"{event.done:>{len(str(event.total))}}/{event.total}  {event.what}"

    def _rung(self, event: RungFinished) -> str:
        digits = len(str(self.state.total))
        symbols = precision_strip(event.policy, width=_MOST_CELLS).plain
        score = f"{percent_text(event.rung.score):>7} {after_share(event.rung.share)}"
        return f"{event.number:>{digits}}  {'':>{digits}} {'':>{digits}}  {symbols}  {score}"

    def _trial(self, event: TrialFinished) -> str:
        record = event.record
        digits = len(str(event.total))
        symbols = precision_strip(record.policy, width=_MOST_CELLS).plain
        head = f"{record.number:>{digits}}  {event.finished:>{digits}}/{event.total}  {symbols}"
        if record.is_failed:
            return f"{head}  failed: {record.failure}"
        if record.is_stopped:
            return f"{head}  {stopped_text(record)}"
        assert self.state.started is not None
        costs = shown_costs(self.state.started.objectives, self.state.started.budgets)
        is_over = not self.state.started.budgets.are_met_by(record.costs, record.accuracy, record.loss)
        estimate = self.state.estimate()
        left = "" if estimate is None or event.finished >= event.total else f"{about_text(estimate)} left"
        note = "front" if event.on_front else "over budget" if is_over else ""
        columns = [
            head,
            f"{score_text(self.state, record):>7}",
            *(cost_cell(cost, record) for cost in costs),
            f"{note:<11}" if self.state.started.budgets else f"{note:<5}",
            f"hypervolume {event.hypervolume:.4f}",
            left,
        ]
        return "  ".join(columns)


def _plan(event: SearchStarted) -> str:
    parts = [
        f"{event.total} trials of {event.policies:,} policies",
        f"{event.finished} already there" if event.finished else "",
        f"{event.workers} workers" if event.workers > 1 else "",
        f"batches of {event.batch}" if event.batch > 1 else "",
        f"budgets {budgets_text(event.budgets)}" if event.budgets else "no budgets",
        f"32-bit {percent_text(event.baseline_score)}",
        f"into {event.out}",
    ]
    return ", ".join(part for part in parts if part)
