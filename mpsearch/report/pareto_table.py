"""The front as a table: what each policy scores and costs, and what it gains over 32 bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from rich.text import Text

from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.precision_strip import precision_strip
from mpsearch.report.units import ColumnUnit, factor_text
from mpsearch.search.front import Front
from mpsearch.search.objective import COSTS, Objective
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_LEAST_STRIP = 20


def layer_order(run: Run) -> tuple[str, ...]:
    """The layers that the policies name, in the order in which the model calls them."""
    policy = run.records[0].policy if run.records else {}
    return tuple(layer.name for layer in run.model.layers if layer.name in policy)


def chosen_percentiles(run: Run) -> tuple[Objective, ...]:
    """The percentiles of latency that the run optimises or bounds."""
    names = {*(objective.name for objective in run.objectives), *run.budgets.bounds()}
    return tuple(o for o in COSTS if o.name in names and o.name.startswith("latency_"))


def best_under_budget(run: Run) -> TrialRecord | None:
    """The most accurate trial that meets the run's budgets; None without budgets, or if none does."""
    feasible = [record for record in run.records if record.is_complete and record.feasible]
    return run.front.best().record if run.budgets and feasible else None


def pareto_table(run: Run) -> FittedTable:
    """The front, fastest first, then the uniform policies that it beats; knee and best marked."""
    front = run.front
    anchors = [
        record
        for record in run.records
        if record.is_complete and record.policy.uniform_scheme and record.number not in front
    ]
    anchors.sort(key=lambda record: record.latency_s)
    records = (*front.records, *anchors)
    order = layer_order(run)
    knee = front.knee().record if front.records else None
    best = best_under_budget(run)
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=[_mark(r, front, knee, best) for r in records], justify="left"),
        Column(title="#", cells=_ranks(len(front), len(anchors)), importance=2, style="dim"),
        Column(title="trial", cells=[str(record.number) for record in records]),
        StretchColumn(
            title="precision",
            unit="one cell a layer",
            cells=lambda width: [precision_strip(r.policy, width=width, layers=order) for r in records],
            least=min(_LEAST_STRIP, max(len(order), 1)),
            most=max(len(order), len("one cell a layer")),
        ),
        _quantity(records, "accuracy", "1", lambda r: r.accuracy, importance=0, unit="% val"),
    ]
    if run.test_scores:
        columns.append(
            _quantity(records, "test", "1", lambda r: run.test_scores.get(r.number, math.nan), importance=5)
        )
    base = run.baseline.costs
    columns += [
        _quantity(records, "latency", "s", lambda r: r.latency_s, importance=0),
        *(
            _quantity(records, o.name.removeprefix("latency_"), "s", partial(_value, o.field), importance=0)
            for o in chosen_percentiles(run)
        ),
        _quantity(records, "memory", "B", lambda r: r.memory_bytes, importance=0),
        _quantity(records, "energy", "J", lambda r: r.energy_j, importance=3),
        _gains(records, "faster", lambda r: base.latency_s / r.latency_s, importance=4),
        _gains(records, "smaller", lambda r: base.memory_bytes / r.memory_bytes, importance=4),
        Column(title="", cells=[_note(run, r, knee, best) for r in records], importance=1, justify="left"),
    ]
    return FittedTable(
        columns=columns,
        rows=len(records),
        row_styles=["" if record.number in front else "dim" for record in records],
        sections=frozenset({len(front) - 1}) if anchors and len(front) else frozenset(),
    )


def failed_lines(run: Run) -> Text:
    """The trials that failed, and why, one paragraph each."""
    order = layer_order(run)
    lines = [
        Text.assemble(
            (f"trial {record.number} ", "bold"), precision_strip(record.policy, width=24, layers=order),
            f"  {record.failure}",
        )
        for record in run.records
        if not record.is_complete
    ]  # fmt: skip
    return Text("\n").join(lines)


def _value(field: str, record: TrialRecord) -> float:
    value: float = getattr(record, field)
    return value


def _ranks(front: int, others: int) -> list[str]:
    return [*(str(place + 1) for place in range(front)), *[""] * others]


def _mark(record: TrialRecord, front: Front, knee: TrialRecord | None, best: TrialRecord | None) -> Text:
    """★ the knee, ◉ the best under the budgets, ● on the front."""
    mark = Text()
    if record is knee:
        mark.append("★", "bold yellow")
    if record is best:
        mark.append("◉", "bold bright_green")
    if not mark and record.number in front:
        mark.append("●", "green")
    return mark


def _note(run: Run, record: TrialRecord, knee: TrialRecord | None, best: TrialRecord | None) -> Text:
    """What is special about the row, in words."""
    notes = ["knee"] if record is knee else []
    if record is best:
        notes.append("best under budget")
    if record.policy.is_full_precision:
        notes.append("32-bit")
    elif (scheme := record.policy.uniform_scheme) is not None:
        notes.append(f"all {scheme.name}")
    note = Text(", ".join(notes))
    if run.budgets and not record.feasible:
        note.append(", " if notes else "")
        note.append("over budget", "red")
    return note


def _quantity(
    records: Sequence[TrialRecord],
    title: str,
    kind: str,
    value: Callable[[TrialRecord], float],
    *,
    importance: int,
    unit: str | None = None,
) -> Column:
    values = [value(record) for record in records]
    column = ColumnUnit.fitting(kind, values)
    return Column(
        title=title, unit=unit or column.name, cells=[column.text(v) for v in values], importance=importance
    )


def _gains(
    records: Sequence[TrialRecord], title: str, gain: Callable[[TrialRecord], float], *, importance: int
) -> Column:
    cells = [factor_text(gain(record)) for record in records]
    return Column(title=title, unit="vs 32-bit", cells=cells, importance=importance)
