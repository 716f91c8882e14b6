"""The front as a table: what each policy scores and costs, and what it gains over 32 bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.text import Text

from mpsearch.report.broken_rule import broken_rule
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.interval_bar import IntervalBars
from mpsearch.report.landmarks import Landmark, landmarks
from mpsearch.report.layer_ruler import layer_ruler
from mpsearch.report.precision_strip import PrecisionStrip, layers_a_cell
from mpsearch.report.seeds_text import seeds_text
from mpsearch.report.trial_selection import TrialSelection
from mpsearch.report.units import UNKNOWN, ColumnUnit, factor_text, interval_text
from mpsearch.report.width_text import width_columns
from mpsearch.search.objective import COMPRESSED_SIZE, OBJECTIVES, Objective
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_SHORT_STRIP, _LONG_STRIP = 24, 32  # cells: of layers that all have one; of more layers, compressed
_BAR = 13


def chosen_percentiles(run: Run) -> tuple[Objective, ...]:
    """The percentiles of latency on the main machine that the run optimises or bounds."""
    return tuple(o for o in _chosen_costs(run) if o.name.startswith("latency_") and o.device is None)


def chosen_on_devices(run: Run) -> tuple[Objective, ...]:
    """The costs on further devices that the run optimises or bounds."""
    return tuple(o for o in _chosen_costs(run) if o.device is not None)


def _chosen_costs(run: Run) -> list[Objective]:
    names = {*(objective.name for objective in run.objectives), *run.budgets.bounds()}
    return [cost for cost in run.quantities.values() if cost.name in names and not cost.is_learnt]


def table_rows(
    run: Run, selection: TrialSelection
) -> tuple[tuple[TrialRecord, ...], tuple[TrialRecord, ...]]:
    """The trials that a table lists, and below them the uniform policies that the front beats.

    The latter go with the front alone, where they are what it is compared with.
    """
    complete = [record for record in run.records if record.is_complete]
    if selection.is_of_all:
        by_latency = sorted(complete, key=lambda record: record.latency_s)
        return selection.of(run, by_latency), ()
    uniform = [
        record
        for record in complete
        if record.policy.uniform_scheme and record.number not in run.front and selection.keeps(run, record)
    ]
    uniform.sort(key=lambda record: record.latency_s)
    return selection.of(run, run.front.records), tuple(uniform)


def pareto_table(run: Run, selection: TrialSelection | None = None) -> FittedTable:
    """The front, cheapest first, then the uniform policies that it beats; knee and best marked.

    `selection` chooses and orders the rows.
    """
    chosen, others = table_rows(run, selection or TrialSelection())
    table = trial_table(run, (*chosen, *others))
    return replace(
        table,
        row_styles=["" if record.number in run.front else "dim" for record in (*chosen, *others)],
        sections=frozenset({len(chosen) - 1}) if chosen and others else frozenset(),
    )


def trial_table(run: Run, records: Sequence[TrialRecord]) -> FittedTable:
    """One row a trial: precision, scores, costs, what is special about it."""
    named = landmarks(run)
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=[_mark(run, r, named.get(r.number)) for r in records], justify="left"),
        Column(title="trial", cells=[str(record.number) for record in records]),
        *width_columns(run, records),
        strip_column(run, records),
        *_scores(run, records),
        *_latencies(run, records),
        _quantity(records, "memory", "B", lambda r: r.memory_bytes, importance=0),
        *_compressed(run, records),
        *_gains(run, records),
        Column(
            title="",
            cells=[_note(run, r, named.get(r.number)) for r in records],
            importance=5,
            justify="left",
        ),
    ]
    return FittedTable(columns=columns, rows=len(records), tells_hidden=True)


def strip_column(run: Run, records: Sequence[TrialRecord]) -> StretchColumn:
    """The precision of each trial, its layers numbered above."""
    order = run.layers
    count = max(len(order), 1)
    least = count if count <= _SHORT_STRIP else max(_SHORT_STRIP, min(math.ceil(count / 2), _LONG_STRIP))
    return StretchColumn(
        title="precision",
        unit=lambda width: layer_ruler(count, layers_a_cell(count, width)),
        cells=lambda width: [PrecisionStrip.of(r.policy, width=width, layers=order) for r in records],
        least=least,
        most=count,
        used=lambda width: math.ceil(count / layers_a_cell(count, width)),
    )


def _scores(run: Run, records: Sequence[TrialRecord]) -> list[Column]:
    intervals = [run.interval(record) for record in records]
    columns = [
        _quantity(records, "accuracy", "1", lambda r: r.accuracy, importance=0, narrow="score"),
        Column(title="interval", unit="95%", cells=[interval_text(i) for i in intervals], importance=7),
    ]
    bars = IntervalBars.fitting(intervals, _BAR)
    drawn = [
        bars.text(record.accuracy, interval, "green" if record.number in run.front else "")
        for record, interval in zip(records, intervals, strict=True)
    ]
    columns.append(Column(title="", unit="", cells=drawn, importance=1, justify="left"))
    loss = OBJECTIVES["loss"]
    if loss in run.objectives or loss.name in run.budgets.bounds():
        columns.insert(0, _quantity(records, loss.name, loss.unit, loss.of, importance=0, narrow=loss.name))
    if any(record.number in run.test_scores for record in records):
        columns.append(
            _quantity(records, "test", "1", lambda r: run.test_scores.get(r.number, math.nan), importance=6)
        )
    return columns


def _latencies(run: Run, records: Sequence[TrialRecord]) -> list[Column]:
    columns = [_quantity(records, "latency", "s", lambda r: r.latency_s, importance=0)]
    columns += [
        _quantity(records, o.name.removeprefix("latency_").replace("_", " "), o.unit, o.of, importance=0)
        for o in (*chosen_percentiles(run), *chosen_on_devices(run))
    ]
    measured = [run.measured.get(record.number) for record in records]
    if any(measured):
        values = [math.nan if m is None else m.latency_s for m in measured]
        unit = ColumnUnit.fitting("s", values)
        spread = [
            UNKNOWN if m is None else f"{unit.text(m.quartiles_s[0])}–{unit.text(m.quartiles_s[1])}"
            for m in measured
        ]
        columns += [
            Column(title="measured", unit=unit.name, cells=[unit.text(v) for v in values], importance=8),
            Column(title="quartiles", unit=unit.name, cells=spread, importance=2, style="dim"),
        ]
    return columns


def _compressed(run: Run, records: Sequence[TrialRecord]) -> list[Column]:
    if COMPRESSED_SIZE not in _chosen_costs(run):
        return []
    cost = COMPRESSED_SIZE
    return [_quantity(records, "compressed", cost.unit, cost.of, importance=0, narrow="packed")]


def _gains(run: Run, records: Sequence[TrialRecord]) -> list[Column]:
    base = run.baseline.costs
    is_chosen = any(objective.name == "energy" for objective in run.objectives) or run.budgets.energy_j
    gains = (
        ("faster", [base.latency_s / record.latency_s for record in records]),
        ("smaller", [base.memory_bytes / record.memory_bytes for record in records]),
    )
    return [
        _quantity(records, "energy", "J", lambda r: r.energy_j, importance=0 if is_chosen else 4),
        *(
            Column(
                title=title,
                unit="× 32-bit",
                cells=[factor_text(ratio).rstrip("×") for ratio in ratios],
                importance=5,
            )
            for title, ratios in gains
        ),
    ]


def _mark(run: Run, record: TrialRecord, landmark: Landmark | None) -> Text:
    """★ the knee, ◉ the best under the budgets, ● on the front."""
    mark = Text()
    names = landmark.label.split(", ") if landmark is not None else []
    if "knee" in names:
        mark.append("★", "bold yellow")
    if "best under budget" in names or "best" in names:
        mark.append("◉", "bold bright_green")
    if not mark and record.number in run.front:
        mark.append("●", "green")
    return mark


def _note(run: Run, record: TrialRecord, landmark: Landmark | None) -> Text:
    """What is special about the row, in words."""
    note = Text(landmark.label if landmark is not None else "")
    if record.seeds > 1:
        note.append(", " if note else "").append(seeds_text(record), "dim")
    if broken := broken_rule(run, record):
        note.append(", " if note else "").append(broken, "red")
    return note


def _quantity(
    records: Sequence[TrialRecord],
    title: str,
    kind: str,
    value: Callable[[TrialRecord], float],
    *,
    importance: int,
    narrow: str = "",
) -> Column:
    values = [value(record) for record in records]
    column = ColumnUnit.fitting(kind, values)
    return Column(
        title=title,
        unit=column.name,
        cells=[column.text(v) for v in values],
        importance=importance,
        narrow_title=narrow,
    )
