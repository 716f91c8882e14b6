"""Fronts of several runs on one screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.axis import ScaleKind, trimmed
from mpsearch.report.facts_grid import FactsGrid, paragraph
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.front_plot import quantity_of, staircase
from mpsearch.report.json_report import interval_json
from mpsearch.report.landmarks import answer_name
from mpsearch.report.plot_axes import plot_axes
from mpsearch.report.policy_changes import noise_text
from mpsearch.report.scatter import Look, Mark, Scatter
from mpsearch.report.shortened import shortened
from mpsearch.report.units import UNIT_TEXTS, UNKNOWN, ColumnUnit, interval_text
from mpsearch.search.front_comparison import BestAtBudget, FrontComparison
from mpsearch.search.objective import Objective, learnt_of
from mpsearch.search.run import Run
from mpsearch.search.score_difference import trial_difference

FRONTS_SCHEMA = 1
_SYMBOLS = (("●", "o", "green"), ("▲", "^", "magenta"), ("■", "#", "cyan"), ("◆", "B", "yellow"))
_LEAST_NAME = 12


def fronts_view(
    comparison: FrontComparison,
    *,
    x: str | None = None,
    y: str | None = None,
    x_scale: ScaleKind | None = None,
    y_scale: ScaleKind | None = None,
) -> RenderableType:
    """What `mpsearch compare RUN RUN ...` prints."""
    names = run_names(comparison.runs)
    parts: list[RenderableType] = [
        Text(f"{len(names)} fronts", "bold"),
        FactsGrid(_facts(comparison)),
        Text(),
        _runs_table(comparison, names),
        Text(),
    ]
    if not comparison.objectives:
        parts.append(paragraph(("Nothing is left in which these fronts can be compared.", "bold yellow")))
        return Group(*parts)
    learnt = learnt_of(comparison.objectives)
    if learnt is not None and comparison.budgets:
        unit = "  % on validation, 95% interval" if learnt.unit == "1" else "  on validation"
        parts += [
            paragraph((f"best {learnt.name} at a budget", "bold"), (unit, "dim")),
            Text(),
            _budget_table(comparison, names, learnt),
            Text(),
        ]
    parts.append(fronts_plot(comparison, names, x=x, y=y, x_scale=x_scale, y_scale=y_scale))
    return Group(*parts)


def _facts(comparison: FrontComparison) -> list[tuple[str, Text | str]]:
    """What the fronts are compared in, where the numbers come from, and what stands in the way."""
    facts: list[tuple[str, Text | str]] = []
    if comparison.objectives:
        reference = ", ".join(
            f"{o.name} {trimmed(UNIT_TEXTS[o.unit](comparison.reference_point[o.name]))}"
            for o in comparison.objectives
        )
        names = ", ".join(o.name for o in comparison.objectives)
        facts.append(
            (
                "compared",
                f"{names}; hypervolume: share of the box from {reference} to a perfect score at no cost",
            )
        )
    samples = " and ".join(sorted({f"{run.metric} on {run.validation_samples}" for run in comparison.runs}))
    facts.append(
        ("score", f"{samples} validation samples, 95% intervals from that; {_trainings(comparison.runs)}")
    )
    profiles = sorted({f"{r.profile.name} ({r.profile.fingerprint.cpu_model})" for r in comparison.runs})
    facts.append(("latency", f"predicted median, 1 sample, profile {' and '.join(profiles)}"))
    facts += [("not alike", Text(sentence, "yellow")) for sentence in comparison.obstacles]
    facts += [("note", Text(sentence, "dim")) for sentence in comparison.differences]
    return facts


def _trainings(runs: Sequence[Run]) -> str:
    """How many trainings a policy's score is of."""
    most = max((record.seeds for run in runs for record in run.records), default=1)
    return "one training a policy" if most == 1 else f"mean of 1 to {most} trainings a policy"


def run_names(runs: Sequence[Run]) -> list[str]:
    """The folders' names, with as many parents as tell them apart."""
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({place})" for place, path in enumerate(paths, start=1)]


def fronts_json(comparison: FrontComparison) -> dict[str, Any]:
    """What `--json` prints of runs: one JSON object of schema FRONTS_SCHEMA; keys are only added.

    `objectives` are those compared; `obstacles` say why others are not. Each of `runs`: name, path, space,
    trials, front (numbers), hypervolume (in the common box, null without one). `coverage[i][j]`: the share of
    front j that front i beats. `best_at`: objective, bound (in its unit), and of each run the trial's number,
    accuracy and interval, or null.
    """
    names = run_names(comparison.runs)
    fronts = comparison.fronts or tuple(run.front.records for run in comparison.runs)
    volumes: Sequence[float | None] = comparison.hypervolumes or [None] * len(names)
    return {
        "schema": FRONTS_SCHEMA,
        "objectives": [o.name for o in comparison.objectives],
        "obstacles": list(comparison.obstacles),
        "differences": list(comparison.differences),
        "reference_point": comparison.reference_point,
        "runs": [
            {
                "name": name,
                "path": str(run.path),
                "space": run.space.name,
                "trials": sum(record.is_complete for record in run.trainings),
                "front": [record.number for record in front],
                "hypervolume": volume,
            }
            for name, run, front, volume in zip(names, comparison.runs, fronts, volumes, strict=True)
        ],
        "coverage": [[None if math.isnan(c) else c for c in row] for row in comparison.coverage],
        "best_at": [
            {"objective": row.objective.name, "bound": row.bound, "best": _best_json(comparison, row)}
            for row in comparison.budgets
        ],
    }


def _best_json(comparison: FrontComparison, row: BestAtBudget) -> list[dict[str, Any] | None]:
    return [
        None
        if record is None
        else {
            "number": record.number,
            "accuracy": record.accuracy,
            "interval": interval_json(run.interval(record)),
        }
        for run, record in zip(comparison.runs, row.best, strict=True)
    ]


def _runs_table(comparison: FrontComparison, names: Sequence[str]) -> FittedTable:
    """One row a run: how much it searched, what its front takes of the common box, whom it beats."""
    runs = comparison.runs
    fronts = comparison.fronts or tuple(run.front.records for run in runs)
    symbols = [Text(symbol, style) for symbol, _, style in _looks(len(runs))]
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=symbols, justify="left"),
        StretchColumn(
            title="run",
            cells=lambda width: [shortened(name, width) for name in names],
            least=min(_LEAST_NAME, max(map(len, names))),
            most=max(map(len, names)),
        ),
        Column(title="space", cells=[run.space.name for run in runs], importance=2, justify="left"),
        Column(title="trials", cells=[str(sum(r.is_complete for r in run.trainings)) for run in runs]),
        Column(title="front", unit="trials", cells=[str(len(front)) for front in fronts], importance=8),
    ]
    if comparison.hypervolumes:
        best = max(comparison.hypervolumes)
        volumes = [
            Text(f"{volume:.4f}", "bold green" if volume == best else "")
            for volume in comparison.hypervolumes
        ]
        columns.append(Column(title="hypervolume", unit="of common box", cells=volumes))
        columns += [
            Column(
                title="beats",
                unit=f"% of {_short(name)}",
                cells=[
                    "" if i == j or math.isnan(row[j]) else f"{100 * row[j]:.0f}"
                    for i, row in enumerate(comparison.coverage)
                ],
                importance=7,
            )
            for j, name in enumerate(names)
        ]
    columns += [
        Column(title="profile", cells=[run.profile.name for run in runs], importance=1, justify="left"),
        Column(title="samples", cells=[str(run.validation_samples) for run in runs], importance=3),
    ]
    return FittedTable(columns=columns, rows=len(runs), tells_hidden=True)


def _short(name: str) -> str:
    return name if len(name) <= _LEAST_NAME else f"…{name[-_LEAST_NAME + 1 :]}"


def _budget_table(comparison: FrontComparison, names: Sequence[str], learnt: Objective) -> FittedTable:
    """One row a budget: what each run reaches in it, and whether the first two differ by more than noise."""
    rows = comparison.budgets
    unit, is_share = ColumnUnit.fitting(learnt.unit, ()), learnt.unit == "1"
    bounds = [f"{row.objective.name} {trimmed(UNIT_TEXTS[row.objective.unit](row.bound))}" for row in rows]
    columns: list[Column | StretchColumn] = [
        Column(title="budget", unit="at most", cells=bounds, justify="left")
    ]
    for place, (name, run) in enumerate(zip(names, comparison.runs, strict=True)):
        cells, intervals = [], []
        for row in rows:
            record = row.best[place]
            reached = [learnt.sign * learnt.of(best) for best in row.best if best is not None]
            is_top = record is not None and learnt.sign * learnt.of(record) == min(reached)
            text = UNKNOWN if record is None else unit.text(learnt.of(record))
            cells.append(Text(text, "bold green" if is_top else ""))
            is_known = record is not None and is_share
            intervals.append(interval_text(run.interval(record)) if is_known and record else "")
        columns += [
            Column(title=_short(name), unit=unit.name, cells=cells),
            Column(title="", unit="95%", cells=intervals, importance=3, style="dim"),
        ]
    if len(names) == 2 and is_share:
        columns.append(
            Column(
                title="",
                cells=[_noise(comparison, row) for row in rows],
                importance=2,
                justify="left",
                style="dim",
            )
        )
    sections = frozenset(
        place for place in range(len(rows) - 1) if rows[place].objective != rows[place + 1].objective
    )
    return FittedTable(columns=columns, rows=len(rows), sections=sections)


def _noise(comparison: FrontComparison, row: BestAtBudget) -> str:
    first, second = row.best
    if first is None or second is None:
        return ""
    run, other = comparison.runs  # of the same samples: fronts with others are not compared
    verdict = noise_text(trial_difference(run, first, second, other=other))
    return verdict if verdict in {"", "within noise"} else "beyond noise"


def fronts_plot(
    comparison: FrontComparison,
    names: Sequence[str],
    *,
    x: str | None = None,
    y: str | None = None,
    x_scale: ScaleKind | None = None,
    y_scale: ScaleKind | None = None,
) -> Scatter:
    """All fronts in one plot, each with its own symbol, colour and staircase.

    Raises: ConfigError if an axis is no objective, or both are the same.
    """
    axes = plot_axes(comparison.objectives, x, y, devices=_shared_devices(comparison))
    looks = {
        f"run {place}": Look(symbol, plain, style, name)
        for place, (name, (symbol, plain, style)) in reversed(
            list(enumerate(zip(names, _looks(len(names)), strict=True)))
        )
    }
    marks = []
    for place, front in enumerate(comparison.fronts):
        stairs = staircase(front, axes)
        knee = comparison.runs[place].front.knee().number if front else None
        name = answer_name(comparison.runs[place])
        marks += [
            Mark(
                x=axes[0].of(record),
                y=axes[1].of(record),
                kind=f"run {place}",
                label=f"{name} {record.number}" if record.number == knee else "",
                is_on_front=record.number in stairs,
                series=place,
            )
            for record in front
            if not record.policy.is_full_precision
        ]
    return Scatter(
        marks,
        x=quantity_of(axes[0]),
        y=quantity_of(axes[1]),
        x_scale=x_scale,
        y_scale=y_scale,
        looks=looks,
        stair_styles=[f"{style} dim" for _, _, style in _looks(len(names))],
    )


def _looks(count: int) -> list[tuple[str, str, str]]:
    return [_SYMBOLS[place % len(_SYMBOLS)] for place in range(count)]


def _shared_devices(comparison: FrontComparison) -> list[str]:
    """Further devices whose costs all runs have."""
    first, *others = comparison.runs
    return [device for device in first.devices if all(device in run.devices for run in others)]
