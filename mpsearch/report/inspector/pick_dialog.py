"""Going to a trial by its number, or by what makes it special."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from mpsearch.errors import MpsearchError
from mpsearch.report.inspector.dialog import Dialog, Problem
from mpsearch.search.pick import pick_trial
from mpsearch.search.run import Run


class PickDialog(Dialog[int]):
    """Ends in a trial's number, or in None where it was left."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def compose(self) -> ComposeResult:
        with self.box("Go to", "enter goes · esc leaves"):
            yield Input(placeholder="12, knee, best, fastest, smallest, accurate, latency<300us")
            yield Static(
                "A trial's number, a name, or conditions (the most accurate that fits).", classes="hint"
            )
            yield Problem()

    @on(Input.Changed)
    def _forget_problem(self) -> None:
        self.query_one(Problem).say("")

    @on(Input.Submitted)
    def _go(self, event: Input.Submitted) -> None:
        if not event.value.strip():
            self.dismiss(None)
            return
        try:
            record = pick_trial(self._run, event.value)
        except MpsearchError as error:
            self.query_one(Problem).say(str(error))
            return
        self.dismiss(record.number)
