"""What every drawn picture of a front holds: its axes, its marks, its staircase and its budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mpsearch.report.axis import Axis, Quantity
from mpsearch.report.landmarks import Landmark, landmarks
from mpsearch.report.plot_axes import plot_axes
from mpsearch.report.staircase import stair_line, stairs
from mpsearch.report.units import UNIT_TEXTS
from mpsearch.search.objective import Objective
from mpsearch.search.run import Run

_LOG_FROM = 4.0  # a cost whose greatest value is so many times its least is drawn on a log axis
_MARGIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMark:
    """A trial as a place in the unit square, x rightwards and y upwards.

    `x_ends`, `y_ends`: where the 95% interval ends, None where that axis shows no accuracy.
    """

    number: int
    x: float
    y: float
    x_ends: tuple[float, float] | None
    y_ends: tuple[float, float] | None
    is_on_front: bool
    is_feasible: bool
    landmark: Landmark | None

    @property
    def is_prominent(self) -> bool:
        return self.is_on_front or self.landmark is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPicture:
    """All complete trials of a run on two axes.

    `stairs`: the corners of the line that bounds what the trials reach in these two objectives alone;
    `x_limit`, `y_limit`: budgets, None where there is none or it lies outside.
    """

    x_axis: Axis
    y_axis: Axis
    marks: tuple[PictureMark, ...]
    stairs: tuple[tuple[float, float], ...]
    x_limit: float | None
    y_limit: float | None


def axis_title(objective: Objective, metric: str) -> str:
    """As in "accuracy on validation", "latency (95th percentile)"."""
    titles = {
        "accuracy": f"{metric} on validation",
        "loss": "loss on validation",
        "compressed_size": "compressed size, estimated",
        "latency_p95": "latency, 95th percentile",
        "latency_p99": "latency, 99th percentile",
        "memory": "memory of the weights",
    }
    title = titles.get(objective.kind, objective.kind)
    return title if objective.device is None else f"{title}, on {objective.device}"


def front_picture(run: Run, x: str | None = None, y: str | None = None) -> FrontPicture:
    """The picture with objective `x` across and `y` up; by default the run's first cost and what it learns.

    Raises: ConfigError if there is no such objective, or both are the same.
    """
    across, up = plot_axes(run.objectives, x, y, devices=run.devices)
    records = [record for record in run.records if record.is_complete]
    known = landmarks(run)
    x_axis, y_axis = (_axis(objective, run.metric, _shown(run, objective)) for objective in (across, up))
    marks = []
    for record in records:
        low, high = run.interval(record)
        ends = None if math.isnan(low) else (low, high)
        marks.append(
            PictureMark(
                number=record.number,
                x=x_axis.place(across.of(record)),
                y=y_axis.place(up.of(record)),
                x_ends=_ends(x_axis, ends) if across.name == "accuracy" else None,
                y_ends=_ends(y_axis, ends) if up.name == "accuracy" else None,
                is_on_front=record.number in run.front,
                is_feasible=record.feasible,
                landmark=known.get(record.number),
            )
        )
    bounds = run.budgets.bounds()
    return FrontPicture(
        x_axis=x_axis,
        y_axis=y_axis,
        marks=tuple(marks),
        stairs=stair_line(
            stairs([(mark.x, mark.y) for mark in marks], across=across.direction, up=up.direction)
        ),
        x_limit=_inside(x_axis, bounds.get(across.name)),
        y_limit=_inside(y_axis, bounds.get(up.name)),
    )


def _shown(run: Run, objective: Objective) -> list[float]:
    """All values that the axis must reach: of an accuracy also where the front's intervals end."""
    values = [objective.of(record) for record in run.records if record.is_complete]
    if objective.name == "accuracy":
        values += [end for r in run.front.records for end in run.interval(r) if not math.isnan(end)]
    return values


def _axis(objective: Objective, metric: str, values: Sequence[float]) -> Axis:
    is_fraction = objective.unit == "1"
    quantity = Quantity(
        name=axis_title(objective, metric), text=UNIT_TEXTS[objective.unit], is_fraction=is_fraction
    )
    if not values:
        return Axis(quantity=quantity, kind="linear", low=0.0, high=1.0)
    if is_fraction or min(values) <= 0 or max(values) < _LOG_FROM * min(values):
        return Axis.fitted(quantity, values)
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = _MARGIN * (high - low)
    return Axis(quantity=quantity, kind="log", low=low - margin, high=high + margin)


def _ends(axis: Axis, ends: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ends is None else (axis.place(ends[0]), axis.place(ends[1]))


def _inside(axis: Axis, bound: float | None) -> float | None:
    if bound is None:
        return None
    place = axis.place(bound)
    return place if 0 <= place <= 1 else None
