"""Budgets moved by the mouse or step by step: from a place on an axis to a bound, and back."""

from __future__ import annotations

from dataclasses import replace

from mpsearch.report.axis import Axis
from mpsearch.report.inspector.axes import value_at
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import OBJECTIVES

_FIGURES = 3
STEP = 0.02  # of the axis, for a key


def is_floor(name: str) -> bool:
    """Whether a budget of that name is a lower bound."""
    return OBJECTIVES[name].direction == "maximize"


def bound_of(budgets: Budgets, name: str) -> float | None:
    return budgets.bounds().get(name)


def with_bound(budgets: Budgets, name: str, bound: float | None) -> Budgets:
    return replace(budgets, **{OBJECTIVES[name].field: bound})


def parked_place(name: str) -> float:
    """Where on the axis the handle of a budget rests that bounds nothing."""
    return 0.0 if is_floor(name) else 1.0


def bound_at(name: str, axis: Axis, place: float) -> float | None:
    """The bound that a handle dragged to `place` means; None at or past the end where it bounds nothing.

    Rounded to what a person would type: three figures, an accuracy to a tenth of a percent.
    """
    if is_floor(name):
        if place <= 0:
            return None
        return min(max(round(value_at(axis, place), 3), 0.0), 1.0) or None
    if place >= 1:
        return None
    value = float(f"{value_at(axis, max(place, 0.0)):.{_FIGURES}g}")
    return value if value > 0 else None


def nudged(name: str, axis: Axis, bound: float | None, *, by: int) -> float | None:
    """The bound moved by `by` steps along the axis; a bound outside of the picture begins at its edge."""
    place = parked_place(name) if bound is None else axis.place(bound)
    moved = max(0.0, min(place, 1.0)) + by * STEP
    found = bound_at(name, axis, moved)
    if found == bound and bound is not None:  # rounding would hold it in place
        return bound_at(name, axis, moved + by * STEP)
    return found
