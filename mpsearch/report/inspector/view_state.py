"""What the inspector shows: a run, seen along two axes, under budgets, through a filter, at a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mpsearch.report.axis import Axis
from mpsearch.report.inspector.axes import Scale, fitted_axis
from mpsearch.report.inspector.spots import Spot, walk_order
from mpsearch.report.staircase import stairs
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import first_cost, first_learnt, is_learnt_named, objective_named
from mpsearch.search.run import Run
from mpsearch.search.trial_filter import TrialFilter
from mpsearch.search.trial_record import TrialRecord

MOST_MARKS = 2
MARK_LETTERS = "AB"


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Everything about the picture that does not depend on the cursor.

    `run` is judged by the budgets on show. `shown`: numbers that the filter keeps; `spots`: the complete
    trials among them, `hidden_spots` the other complete ones.
    """

    run: Run
    looks: Looks
    x_axis: Axis | None
    y_axis: Axis | None
    shown: frozenset[int]
    spots: tuple[Spot, ...]
    hidden_spots: tuple[Spot, ...]

    @property
    def x(self) -> str:
        return self.looks.x

    @property
    def y(self) -> str:
        return self.looks.y

    @cached_property
    def record_of(self) -> dict[int, TrialRecord]:
        return {record.number: record for record in self.run.records}

    @cached_property
    def spot_of(self) -> dict[int, Spot]:
        return {spot.number: spot for spot in (*self.hidden_spots, *self.spots)}

    @cached_property
    def front_order(self) -> tuple[int, ...]:
        """The shown trials on the front, from left to right."""
        return walk_order(spot for spot in self.spots if spot.is_on_front)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All shown trials, from left to right."""
        return walk_order(self.spots)

    @cached_property
    def fitting(self) -> frozenset[int]:
        return frozenset(r.number for r in self.run.records if r.is_complete and r.feasible)

    @cached_property
    def failures(self) -> int:
        return sum(record.is_failed for record in self.run.records)

    @cached_property
    def complete(self) -> int:
        return sum(record.is_complete for record in self.run.records)

    @cached_property
    def knee(self) -> int | None:
        """None where there is no trade-off: of one objective there is a best alone."""
        is_shown = len(self.run.objectives) > 1 and self.run.front.records
        return self.run.front.knee().number if is_shown else None

    @cached_property
    def best(self) -> int | None:
        """The best trial under the budgets; None if none meets them, or without budgets in a trade-off."""
        is_shown = self.run.budgets or len(self.run.objectives) == 1
        return self.run.front.best().number if is_shown and self.fitting else None

    @cached_property
    def front_numbers(self) -> frozenset[int]:
        return frozenset(self.run.front.numbers)

    @cached_property
    def stairs(self) -> tuple[tuple[float, float], ...]:
        """What is reached in these two axes alone, rightwards; empty unless y alone is learnt."""
        if not is_learnt_named(self.y) or is_learnt_named(self.x):
            return ()
        up = objective_named(self.y).direction
        return stairs(((spot.x, spot.y) for spot in (*self.spots, *self.hidden_spots)), up=up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What the user chose to see. `is_near`: the axes fit the front, and far trials stay at their ends."""

    x: str
    y: str
    x_scale: Scale = "auto"
    y_scale: Scale = "auto"
    is_near: bool = True


def scene_of(run: Run, budgets: Budgets, looks: Looks, *, kept: TrialFilter | None = None) -> Scene:
    """The scene of a run as `load_run` gives it."""
    judged = run.with_budgets(budgets)
    complete = [record for record in judged.records if record.is_complete]
    shown = frozenset(r.number for r in judged.records if kept is None or kept.keeps(judged, r))
    front = frozenset(judged.front.numbers)
    axes: dict[str, Axis] = {}
    for name, scale in ((looks.x, looks.x_scale), (looks.y, looks.y_scale)):
        core = [_value(record, name) for record in complete if record.number in front]
        others = [_value(record, name) for record in complete if record.number not in front]
        if core or others:
            bound = budgets.bounds().get(name)
            axes[name] = fitted_axis(name, core, others, bound=bound, scale=scale, is_near=looks.is_near)
    spots = [
        Spot(
            number=record.number,
            x=_inside(axes[looks.x].place(_value(record, looks.x))),
            y=_inside(axes[looks.y].place(_value(record, looks.y))),
            is_on_front=record.number in front,
        )
        for record in complete
    ]
    return Scene(
        run=judged,
        looks=looks,
        x_axis=axes.get(looks.x),
        y_axis=axes.get(looks.y),
        shown=shown,
        spots=tuple(spot for spot in spots if spot.number in shown),
        hidden_spots=tuple(spot for spot in spots if spot.number not in shown),
    )


def first_looks(run: Run) -> Looks:
    """What is learnt against the first cost that the run optimises."""
    return Looks(x=first_cost(run.objectives).name, y=first_learnt(run.objectives).name)


def first_cursor(scene: Scene) -> int | None:
    """The knee, or the best; else the first trial there is, even one that failed."""
    foremost = scene.best if scene.knee is None else scene.knee
    if foremost is not None:
        return foremost
    return scene.run.records[0].number if scene.run.records else None


def marks_after(marks: Sequence[int], number: int) -> tuple[int, ...]:
    """The marks once `number` was marked, or unmarked where it was; the oldest of too many goes."""
    if number in marks:
        return tuple(mark for mark in marks if mark != number)
    return (*marks, number)[-MOST_MARKS:]


def pair_to_compare(marks: Sequence[int], cursor: int | None) -> tuple[int, int] | None:
    """Both marks; or the one mark and the cursor. None where that makes no two trials."""
    numbers = list(dict.fromkeys([*marks, *([] if cursor is None else [cursor])]))
    return (numbers[0], numbers[1]) if len(numbers) > 1 else None


def _value(record: TrialRecord, name: str) -> float:
    return objective_named(name).of(record)


def _inside(place: float) -> float:
    return min(max(place, 0.0), 1.0)


def is_off_scale(axis: Axis, value: float) -> bool:
    """Whether a value lies past an end of the axis, where its trial is drawn."""
    return not -1e-9 <= axis.place(value) <= 1 + 1e-9
