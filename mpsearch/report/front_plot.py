"""A run's trials as marks of the terminal plot."""

from __future__ import annotations

from mpsearch.errors import ConfigError
from mpsearch.report.axis import Quantity
from mpsearch.report.pareto_table import best_under_budget
from mpsearch.report.scatter import Mark, MarkKind, Scatter
from mpsearch.report.units import bytes_text, joules_text, percent_text, seconds_text
from mpsearch.search.objective import COSTS
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_TEXTS = {"s": seconds_text, "B": bytes_text, "J": joules_text}


def front_plot(run: Run, cost: str | None = None, *, height: int = 16) -> Scatter:
    """Accuracy against `cost` (the name of one of `COSTS`; by default the run's first cost).

    The staircase joins the trials that nothing beats in these two alone; the front of a run with more
    objectives has further points above it.

    Raises: ConfigError if there is no such cost.
    """
    known = {objective.name: objective for objective in COSTS}
    name = cost or next((o.name for o in run.objectives if o.name in known), "latency")
    if name not in known:
        raise ConfigError(f"The plot's cost must be one of {', '.join(known)}; got {name!r}.")
    field = known[name].field
    complete = [record for record in run.records if record.is_complete]
    stairs = _stairs(complete, field)
    marks = [
        Mark(
            x=getattr(record, field),
            y=record.accuracy,
            kind=kind,
            label=label,
            is_on_front=record.number in stairs,
        )
        for record in complete
        for kind, label in [_look(run, record)]
    ]
    return Scatter(
        marks,
        x=Quantity(name=name, text=_TEXTS[known[name].unit]),
        y=Quantity(name="accuracy on validation", text=percent_text, is_fraction=True),
        height=height,
        x_limit=run.budgets.bounds().get(name),
    )


def _stairs(records: list[TrialRecord], field: str) -> set[int]:
    """Numbers of the trials that are more accurate than all cheaper ones."""
    numbers, best = set(), -1.0
    for record in sorted(records, key=lambda r: (getattr(r, field), -r.accuracy)):
        if record.accuracy > best:
            numbers.add(record.number)
            best = record.accuracy
    return numbers


def _look(run: Run, record: TrialRecord) -> tuple[MarkKind, str]:
    best = best_under_budget(run)
    scheme = record.policy.uniform_scheme
    if run.front.records and record.number == run.front.knee().number:
        return "knee", f"knee {record.number}"
    if best is not None and record.number == best.number:
        return "best", f"best {record.number}"
    if record.policy.is_full_precision:
        return "baseline", "32-bit"
    if scheme is not None:
        return "uniform", f"all {scheme.name}"
    if record.number in run.front:
        return "front", ""
    return ("over budget" if run.budgets and not record.feasible else "trial"), ""
