"""Policies of one run side by side: what differs, layer by layer, and what that changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.cost.cost_report import CostReport, LayerCost
from mpsearch.report.facts_grid import FactsGrid, paragraph
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.json_report import interval_json, trial_json
from mpsearch.report.landmarks import landmarks
from mpsearch.report.layer_ruler import layer_key
from mpsearch.report.pareto_table import trial_table
from mpsearch.report.policy_changes import (
    NamedTrial,
    change_interval_text,
    change_table,
    cost_style,
    noise_text,
)
from mpsearch.report.policy_table import REST, names_column, scheme_text
from mpsearch.report.precision_strip import precision_legend
from mpsearch.report.run_heading import run_heading
from mpsearch.report.units import ColumnUnit
from mpsearch.search.objective import costs_on
from mpsearch.search.run import Run
from mpsearch.search.score_difference import trial_difference
from mpsearch.search.trial_record import TrialRecord

COMPARISON_SCHEMA = 1
_ALL_SHOWN = 24  # layers; of a deeper model, those that differ


def policies_view(run: Run, records: Sequence[TrialRecord]) -> RenderableType:
    """What `mpsearch compare RUN A B ...` prints; the first policy is what the others are compared with."""
    first, others = records[0], records[1:]
    reports = [run.cost_report(record.policy) for record in records]
    named = landmarks(run)
    changed = [NamedTrial(name=named[r.number].label if r.number in named else "", record=r) for r in others]
    used = {scheme for record in records for scheme in record.policy.values()}
    return Group(
        run_heading(run),
        Text(),
        trial_table(run, records),
        Text(),
        paragraph(("changes", "bold"), (f" from trial {first.number}; a dot: as it is there", "dim")),
        Text(),
        change_table(run, first, changed),
        Text(),
        paragraph(
            ("layers", "bold"),
            (f": {_differing_text(reports)}; changes from trial {first.number}", "dim"),
        ),
        Text(),
        _layers(reports, [record.number for record in records]),
        *_neighbour_note(reports),
        Text(),
        precision_legend(list(used)),
        layer_key(run.layers),
        Text(),
        FactsGrid([*(("", _verdict(run, first, record)) for record in others), ("", _caution(run))]),
    )


def _caution(run: Run) -> Text:
    seeds = (
        "; another seed would add some" if run.seed_spread is None else ", which covers the spread of seeds"
    )
    said = "All are scored on the same samples, so the true noise is less than the interval says"
    return Text(f"{said}{seeds}.", "dim")


def policies_json(run: Run, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """What `--json` prints of policies: one JSON object of schema COMPARISON_SCHEMA; keys are only added.

    `policies` are trials as `mpsearch pareto --json` has them, the first being what `changes` are from:
    number, accuracy, interval (95%, of the change), is_within_noise (null as the interval is, where unknown),
    then latency_s, memory_bytes, energy_j, and of further devices `latency_s@NAME` and the like.
    `layers` have one entry a policy in each list, in the order of `policies`.
    """
    reports = [run.cost_report(record.policy) for record in records]
    first = records[0]
    return {
        "schema": COMPARISON_SCHEMA,
        "space": run.space.name,
        "validation_samples": run.validation_samples,
        "policies": [trial_json(run, record) for record in records],
        "changes": [_change_json(run, first, record) for record in records[1:]],
        "layers": [
            {
                "name": layers[0].name,
                "schemes": [layer.scheme.name for layer in layers],
                **{
                    field: [asdict(layer)[field] for layer in layers]
                    for field in ("latency_s", "memory_bytes", "energy_j")
                },
            }
            for layers in zip(*(report.layers for report in reports), strict=True)
        ],
    }


def _change_json(run: Run, first: TrialRecord, record: TrialRecord) -> dict[str, Any]:
    difference = trial_difference(run, first, record)
    return {
        "number": record.number,
        "accuracy": None if math.isnan(difference.change) else difference.change,
        "interval": interval_json(difference.interval),
        "is_within_noise": not difference.is_clear if difference.is_known else None,
        "latency_s": record.latency_s - first.latency_s,
        "memory_bytes": round(record.memory_bytes - first.memory_bytes),
        "energy_j": record.energy_j - first.energy_j,
        **{cost.field: cost.of(record) - cost.of(first) for cost in costs_on(run.devices) if cost.device},
    }


def _layers(reports: Sequence[CostReport], numbers: Sequence[int]) -> FittedTable:
    """One row a layer; the first policy in full, of the others what differs."""
    rows = _differing_rows(reports)
    first = [reports[0].layers[row] for row in rows]
    names = [*(layer.name for layer in first), REST, "total"]
    latency = ColumnUnit.fitting_parts("s", [*(la.latency_s for la in first), reports[0].latency_s])
    memory = ColumnUnit.fitting_parts(
        "B", [*(float(la.memory_bytes) for la in first), reports[0].memory_bytes]
    )
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=[*(str(row + 1) for row in rows), "", ""], importance=9, style="dim"),
        names_column(names),
        Column(
            title=f"trial {numbers[0]}",
            cells=[*(scheme_text(layer.scheme) for layer in first), "", ""],
            justify="left",
        ),
        Column(
            title="latency",
            unit=latency.name,
            cells=_own(_parts(reports[0], rows, "latency_s"), latency),
            importance=7,
        ),
        Column(
            title="memory",
            unit=memory.name,
            cells=_own(_parts(reports[0], rows, "memory_bytes"), memory),
            importance=6,
        ),
    ]
    for place, (report, number) in enumerate(zip(reports[1:], numbers[1:], strict=True)):
        columns += [
            Column(
                title=f"trial {number}",
                cells=[
                    *(_scheme(layer, report.layers[row]) for layer, row in zip(first, rows, strict=True)),
                    "",
                    "",
                ],
                justify="left",
            ),
            Column(
                title="latency",
                unit=latency.name,
                cells=_changes(reports[0], report, rows, latency, "latency_s"),
                importance=30 - 2 * place,
            ),
            Column(
                title="memory",
                unit=memory.name,
                cells=_changes(reports[0], report, rows, memory, "memory_bytes"),
                importance=29 - 2 * place,
            ),
        ]
    differs = [
        any(report.layers[row].scheme != reports[0].layers[row].scheme for report in reports) for row in rows
    ]
    return FittedTable(
        columns=columns,
        rows=len(names),
        row_styles=[*("" if is_changed else "dim" for is_changed in differs), "dim", "bold"],
        sections=frozenset({len(first)}),
    )


def _scheme(first: LayerCost, other: LayerCost) -> Text:
    return Text(" · same", "dim") if first.scheme == other.scheme else scheme_text(other.scheme)


def _differing_text(reports: Sequence[CostReport]) -> str:
    count = len(reports[0].layers)
    differing = sum(
        len({part.scheme for part in parts}) > 1 for parts in zip(*(r.layers for r in reports), strict=True)
    )
    return f"{differing} of {count} differ" + (
        ", the others are left out" if _ALL_SHOWN < count != differing else ""
    )


def _differing_rows(reports: Sequence[CostReport]) -> list[int]:
    """Places of the layers to show: all, or those that differ where there are many."""
    every = range(len(reports[0].layers))
    if len(every) <= _ALL_SHOWN:
        return list(every)
    return [row for row in every if len({report.layers[row].scheme for report in reports}) > 1]


def _own(parts: Sequence[float], unit: ColumnUnit) -> list[str]:
    return [unit.text(value) for value in parts]


def _changes(
    first: CostReport, other: CostReport, rows: Sequence[int], unit: ColumnUnit, field: str
) -> list[Text]:
    pairs = zip(_parts(first, rows, field), _parts(other, rows, field), strict=True)
    changes = [theirs - own for own, theirs in pairs]
    return [Text(unit.change_text(change), cost_style(change, unit)) for change in changes]


def _parts(report: CostReport, rows: Sequence[int], field: str) -> list[float]:
    """The layers of those rows, what lies outside of layers, the total."""
    layers = [float(getattr(report.layers[row], field)) for row in rows]
    rest = report.remainder_latency_s if field == "latency_s" else report.other_memory_bytes
    return [*layers, float(rest), float(getattr(report, field))]


def _neighbour_note(reports: Sequence[CostReport]) -> list[FactsGrid]:
    """Why a layer that stays as it is may take more or less time."""
    moved = any(
        a.scheme == b.scheme and a.latency_s != b.latency_s
        for other in reports[1:]
        for a, b in zip(reports[0].layers, other.layers, strict=True)
    )
    told = "A layer's time also depends on the formats that its neighbours hand over and take."
    return [paragraph((told, "dim italic"))] if moved else []


def _verdict(run: Run, first: TrialRecord, other: TrialRecord) -> Text:
    """One sentence on the difference of two scores."""
    if not (first.is_complete and other.is_complete):
        return Text(f"Trial {other.number} or {first.number} failed: there is no score to compare.", "yellow")
    difference = trial_difference(run, first, other)
    sentence = (
        f"Trial {other.number} scores {100 * difference.change:+.2f} points against trial {first.number}, "
        f"95% interval {change_interval_text(difference.interval)} from {run.validation_samples} validation "
        "samples: "
    )
    verdict = noise_text(difference)
    style = {"better": "bold green", "worse": "bold red"}.get(verdict, "bold")
    return Text.assemble(sentence, (verdict or "unknown", style), ".")
