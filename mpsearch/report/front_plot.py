"""A run's trials as marks of the terminal plot."""

from __future__ import annotations

from collections.abc import Sequence

from mpsearch.pareto.dominance import non_dominated
from mpsearch.report.axis import Quantity, ScaleKind
from mpsearch.report.broken_rule import NOT_ALLOWED, broken_rule
from mpsearch.report.landmarks import Landmark, landmarks
from mpsearch.report.plot_axes import plot_axes
from mpsearch.report.scatter import Mark, MarkKind, Scatter
from mpsearch.report.trial_selection import TrialSelection
from mpsearch.report.units import UNIT_TEXTS
from mpsearch.search.front import competitors, points_of
from mpsearch.search.objective import Objective, minimised
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_TITLES = {
    "accuracy": "accuracy on validation",
    "loss": "loss on validation",
    "latency": "latency, predicted median",
    "latency_p95": "latency, predicted p95",
    "latency_p99": "latency, predicted p99",
    "memory": "memory",
    "energy": "energy, estimated",
    "compressed_size": "compressed size, estimated",
}
_PLAIN_KINDS = {"front", "trial", "over budget", "not allowed"}  # a landmark is shown whatever the filter


def front_plot(
    run: Run,
    *,
    x: str | None = None,
    y: str | None = None,
    x_scale: ScaleKind | None = None,
    y_scale: ScaleKind | None = None,
    height: int | None = None,
    selection: TrialSelection | None = None,
) -> Scatter:
    """Two objectives against each other, by default what the run learns against its first cost.

    The staircase joins the trials that nothing beats in these two alone; the front of a run with more
    objectives has further points behind it. Trials that `selection` or the overrides leave out are drawn
    faintly.

    Raises: ConfigError if an axis is no objective, or both are the same.
    """
    x_axis, y_axis = plot_axes(run.objectives, x, y, devices=run.devices)
    wanted = selection or TrialSelection()
    complete = [record for record in run.records if record.is_complete]
    stairs = staircase(competitors(complete, run.overrides, run.front.deciding), (x_axis, y_axis))
    named = landmarks(run)
    marks = []
    for record in complete:
        kind, label = _look(run, record, named.get(record.number))
        is_left_out = not wanted.keeps(run, record)
        marks.append(
            Mark(
                x=x_axis.of(record),
                y=y_axis.of(record),
                kind="left out" if is_left_out and kind in _PLAIN_KINDS else kind,
                label=label,
                hint=str(record.number) if record.number in run.front and not is_left_out else "",
                is_on_front=record.number in stairs,
            )
        )
    if complete and not any(record.policy.is_full_precision for record in complete):
        marks.append(
            Mark(x=run.baseline.of(x_axis), y=run.baseline.of(y_axis), kind="baseline", label="32-bit")
        )
    bounds = run.budgets.bounds()
    return Scatter(
        marks,
        x=quantity_of(x_axis),
        y=quantity_of(y_axis),
        height=height,
        x_limit=bounds.get(x_axis.name),
        y_limit=bounds.get(y_axis.name),
        x_scale=x_scale,
        y_scale=y_scale,
    )


def quantity_of(objective: Objective) -> Quantity:
    """What an axis that shows `objective` is called, and how its values read."""
    title = _TITLES[objective.kind]
    return Quantity(
        name=title if objective.device is None else f"{title}, on {objective.device}",
        text=UNIT_TEXTS[objective.unit],
        is_fraction=objective.unit == "1",
    )


def staircase(records: Sequence[TrialRecord], axes: tuple[Objective, Objective]) -> set[int]:
    """Numbers of the trials that no other beats in these two objectives."""
    kept = non_dominated(minimised(points_of(records, axes), axes))
    return {record.number for record, keep in zip(records, kept, strict=True) if keep}


def _look(run: Run, record: TrialRecord, landmark: Landmark | None) -> tuple[MarkKind, str]:
    if landmark is not None and landmark.kind in {"knee", "best"}:
        return landmark.kind, f"{landmark.kind} {record.number}"
    if landmark is not None:
        return landmark.kind, landmark.label
    if record.number in run.front:
        return "front", ""
    broken = broken_rule(run, record)
    return ("not allowed" if broken == NOT_ALLOWED else "over budget" if broken else "trial"), ""
