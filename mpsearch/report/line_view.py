"""A running search where there is no terminal: one plain line an event."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from mpsearch.report.precision_strip import precision_text
from mpsearch.report.search_state import SearchState
from mpsearch.report.units import budgets_text, bytes_text, percent_text, seconds_text
from mpsearch.search.events import (
    Event,
    Notice,
    SearchFinished,
    SearchStarted,
    StageProgress,
    StageStarted,
    TrialFinished,
)

_TENTHS = 10


class LineView:
    """Prints the events that it is called with; of the steps of a stage only every tenth part."""

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
        line = self._line(event)
        if line:
            self._console.print(Text(line), soft_wrap=True)

    def _line(self, event: Event) -> str:
        if isinstance(event, StageStarted):
            self._tenth = 0
            return event.detail if event.stage in event.detail else f"{event.stage}: {event.detail}"
        if isinstance(event, StageProgress):
            return self._stage_line(event)
        if isinstance(event, Notice):
            return f"{'warning' if event.is_warning else 'note'}: {event.message}"
        if isinstance(event, SearchStarted):
            return (
                f"search: {event.total} trials of {event.policies:,} policies, {event.finished} already "
                f"there, budgets {budgets_text(event.budgets)}, 32-bit "
                f"{percent_text(event.baseline_score)}, into {event.out}"
            )
        if isinstance(event, TrialFinished):
            return _trial_line(event)
        if isinstance(event, SearchFinished):
            # Who interrupts a command is told by the command itself.
            return "" if event.reason == "interrupted" else f"{event.reason}: {event}"
        return ""

    def _stage_line(self, event: StageProgress) -> str:
        tenth = _TENTHS * event.done // max(event.total, 1)
        if tenth <= self._tenth:
            return ""
        self._tenth = tenth
        return f"{event.stage}: {event.done}/{event.total} {event.what}"


def _trial_line(event: TrialFinished) -> str:
    record = event.record
    head = f"trial {record.number} ({event.finished}/{event.total}) {precision_text(record.policy)}"
    if not record.is_complete:
        return f"{head} failed: {record.failure}"
    parts = [
        head,
        percent_text(record.accuracy),
        seconds_text(record.latency_s),
        bytes_text(record.memory_bytes),
        "on the front" if event.on_front else "",
        "" if record.feasible else "over budget",
        f"hypervolume {event.hypervolume:.4f}",
        f"best {event.best.number}" if event.best else "",
    ]
    return "  ".join(part for part in parts if part)
