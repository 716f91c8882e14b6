"""Budgets typed in: one field a quantity, checked when they are applied."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from mpsearch.errors import ConfigError
from mpsearch.report.inspector.axes import value_text
from mpsearch.report.inspector.budget_drag import bound_of, is_floor
from mpsearch.report.inspector.dialog import Dialog, Problem
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import objective_named
from mpsearch.search.run import Run

_EXAMPLES = {"1": "90%", "": "0.25", "s": "300us", "B": "60KB", "J": "5uJ"}


def typed_text(budgets: Budgets, name: str) -> str:
    """A bound as its field shows it, and as `Budgets.parse` reads it; empty without one."""
    bound = bound_of(budgets, name)
    if bound is None:
        return ""
    text = objective_named(name).format(bound)
    return text if objective_named(name).parse(text) == bound else str(budgets.texts()[name])


def budgets_of(texts: dict[str, str]) -> Budgets:
    """Raises: ConfigError if one is no quantity of its kind."""
    return Budgets.parse({name: text.strip() for name, text in texts.items() if text.strip()})


def reached_text(run: Run, name: str) -> str:
    """From the least to the greatest that a trial of the run has."""
    values = [objective_named(name).of(r) for r in run.records if r.is_complete]
    return f"{value_text(name, min(values))} – {value_text(name, max(values))}" if values else ""


def _field_id(place: int) -> str:
    """Names such as latency@pi5 cannot be one."""
    return f"bound-{place}"


class BudgetDialog(Dialog[Budgets]):
    """Ends in the budgets, or in None where it was left."""

    DEFAULT_CSS = """
    BudgetDialog Horizontal { height: 1; }
    BudgetDialog .name { width: 18; }
    BudgetDialog Input { width: 14; margin-right: 2; }
    BudgetDialog .reached { color: $ink-dim; width: 1fr; }
    BudgetDialog Problem { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, run: Run, budgets: Budgets) -> None:
        super().__init__()
        self._run, self._budgets = run, budgets

    def compose(self) -> ComposeResult:
        with self.box("Budgets", "enter applies · empty is no bound · esc leaves"):
            for place, (name, objective) in enumerate(self._run.quantities.items()):
                with Horizontal():
                    yield Label(f"{name} {'≥' if is_floor(name) else '≤'}", classes="name")
                    yield Input(
                        typed_text(self._budgets, name),
                        placeholder=_EXAMPLES[objective.unit],
                        id=_field_id(place),
                    )
                    yield Label(reached_text(self._run, name), classes="reached")
            yield Problem()

    @on(Input.Changed)
    def _forget_problem(self) -> None:
        self.query_one(Problem).say("")

    @on(Input.Submitted)
    def _apply(self) -> None:
        texts = {
            name: self.query_one(f"#{_field_id(place)}", Input).value
            for place, name in enumerate(self._run.quantities)
        }
        try:
            budgets = budgets_of(texts)
        except ConfigError as error:
            self.query_one(Problem).say(str(error))
            return
        self.dismiss(budgets)
