"""What other policies have more or less than one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.layer_ruler import layer_ruler
from mpsearch.report.precision_strip import SYMBOLS, layers_a_cell, scheme_style
from mpsearch.report.units import UNKNOWN, ColumnUnit
from mpsearch.report.width_text import width_columns
from mpsearch.search.objective import OBJECTIVES, Objective
from mpsearch.search.run import Run
from mpsearch.search.score_difference import Interval, ScoreDifference, trial_difference
from mpsearch.search.trial_record import TrialRecord

_LEAST_STRIP = 16
_STYLES = {"better": "green", "worse": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTrial:
    """A trial and what it is to the one that it is compared with, such as "knee" or "next faster"."""

    name: str
    record: TrialRecord


def difference_strip(
    policy: PrecisionPolicy, reference: PrecisionPolicy, layers: Sequence[str], width: int
) -> Text:
    """The layers that differ from the reference's, "·" for the others; compressed as `PrecisionStrip` is.

    A compressed cell shows the most frequent scheme of its layers that differ.
    """
    each = layers_a_cell(len(layers), width)
    strip = Text(no_wrap=True)
    for start in range(0, len(layers), each):
        changed = [
            policy[layer] for layer in layers[start : start + each] if policy[layer] != reference[layer]
        ]
        if changed:
            scheme = max(changed, key=changed.count)
            strip.append(SYMBOLS[scheme.name], scheme_style(scheme))
        else:
            strip.append("·", "dim")
    return strip


def change_table(run: Run, reference: TrialRecord, others: Sequence[NamedTrial]) -> FittedTable:
    """One row for each of `others`: its scores and costs as changes from those of `reference`.

    Green is better, red is worse; a change of the score that is within noise has neither.
    """
    records = [other.record for other in others]
    order = run.layers
    count = max(len(order), 1)
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=[other.name for other in others], justify="left"),
        Column(title="trial", cells=[str(record.number) for record in records], importance=9),
        *width_columns(run, records),
        StretchColumn(
            title="differs in",
            unit=lambda width: layer_ruler(count, layers_a_cell(count, width)),
            cells=lambda width: [
                difference_strip(record.policy, reference.policy, order, width) for record in records
            ],
            least=min(count, _LEAST_STRIP),
            most=count,
            used=lambda width: -(-count // layers_a_cell(count, width)),
        ),
        *_score_changes(run, reference, records),
    ]
    latency = OBJECTIVES["latency"]
    shown = {
        latency: (0, 7),
        **dict.fromkeys((latency.on(device) for device in run.devices), (8, 1)),
        OBJECTIVES["memory"]: (0, 2),
        OBJECTIVES["energy"]: (3, 3),
    }
    for cost, importance in shown.items():
        own = cost.of(reference)
        changes = [cost.of(record) - own for record in records]
        columns += _cost_changes(cost, own, changes, importance=importance)
    return FittedTable(columns=columns, rows=len(records), tells_hidden=True)


def _score_changes(run: Run, reference: TrialRecord, records: Sequence[TrialRecord]) -> list[Column]:
    points = ColumnUnit(name="points", size=0.01, decimals=2)
    changes, intervals, verdicts = [], [], []
    for record in records:
        difference = trial_difference(run, reference, record)
        style = _STYLES.get(noise_text(difference), "dim")
        changes.append(Text(points.change_text(difference.change), style))
        intervals.append(change_interval_text(difference.interval))
        verdicts.append(Text(noise_text(difference), style))
    columns = [
        Column(title="accuracy", unit="points", cells=changes, narrow_title="score"),
        Column(title="interval", unit="95%", cells=intervals, importance=5, style="dim"),
        Column(title="", cells=verdicts, importance=6, justify="left"),
    ]
    tested = [run.test_scores.get(record.number, math.nan) for record in records]
    own = run.test_scores.get(reference.number, math.nan)
    if any(not math.isnan(score - own) for score in tested):
        cells = [points.change_text(score - own) for score in tested]
        columns.append(Column(title="test", unit="points", cells=cells, importance=4))
    return columns


def _cost_changes(
    cost: Objective, own: float, changes: Sequence[float], *, importance: tuple[int, int]
) -> list[Column]:
    """The changes, and their shares of what the reference costs; `importance` of each of the two columns."""
    unit = ColumnUnit.fitting(cost.unit, [own])
    shares = [Text(share_text(change / own), cost_style(change, unit)) for change in changes]
    return [
        Column(
            title=cost.name,
            unit=unit.name,
            cells=[Text(unit.change_text(change), cost_style(change, unit)) for change in changes],
            importance=importance[0],
            narrow_title="",
        ),
        Column(title="", unit="%", cells=shares, importance=importance[1]),
    ]


def change_interval_text(interval: Interval) -> str:
    """(-0.009, 0.018) -> "-0.9 to +1.8", in points."""
    return UNKNOWN if math.isnan(interval[0]) else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def noise_text(difference: ScoreDifference) -> str:
    """Whether two scores differ by more than the choice of samples explains; empty where that is unknown."""
    if not difference.is_known:
        return ""
    if not difference.is_clear:
        return "within noise"
    return "better" if difference.change > 0 else "worse"


def share_text(share: float) -> str:
    """0.253 -> "+25"; past ten times, a factor."""
    if share > 9:
        return f"×{1 + share:.0f}"
    return f"{100 * share:+.0f}" if round(100 * share) else "0"


def cost_style(change: float, unit: ColumnUnit) -> str:
    """Green for less, red for more, dim for what shows as no change."""
    if unit.change_text(change) == "0":
        return "dim"
    return "green" if change < 0 else "red"
