"""Budgets moved by the mouse or step by step: from a place on an axis to a bound, and back."""

from __future__ import annotations

import math

from mpsearch.report.axis import Axis
from mpsearch.report.inspector.axes import value_at
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import objective_named

_FIGURES = 3
_DECIMALS = 3  # of an accuracy
_FINEST = 0.005  # of the axis: less than a cell of a wide terminal
STEP = 0.02  # of the axis, for a key


def is_floor(name: str) -> bool:
    """Whether a budget of that name is a lower bound."""
    return objective_named(name).direction == "maximize"


def bound_of(budgets: Budgets, name: str) -> float | None:
    return budgets.bounds().get(name)


def with_bound(budgets: Budgets, name: str, bound: float | None) -> Budgets:
    return budgets.with_bound(name, bound)


def parked_place(name: str) -> float:
    """Where on the axis the handle of a budget rests that bounds nothing."""
    return 0.0 if is_floor(name) else 1.0


def bound_at(name: str, axis: Axis, place: float) -> float | None:
    """The bound that a handle dragged to `place` means; None at or past the end where it bounds nothing.

    Rounded to what a person would type: three figures, an accuracy to a tenth of a percent; finer where a
    step along the axis is.
    """
    if place <= 0 if is_floor(name) else place >= 1:
        return None
    place = min(max(place, 0.0), 1.0)
    value = value_at(axis, place)
    finest = min(abs(value_at(axis, place + by) - value) for by in (-_FINEST, _FINEST))
    if is_floor(name):
        return min(max(round(value, max(_DECIMALS, _decimals(finest))), 0.0), 1.0) or None
    decimals = max(_decimals(value) + _FIGURES - 1, _decimals(finest))
    rounded = round(value, decimals)
    return rounded if rounded > 0 else None


def _decimals(size: float) -> int:
    """Places after the point of the first figure of `size`."""
    return -math.floor(math.log10(size)) if size > 0 else 0


def nudged(name: str, axis: Axis, bound: float | None, *, by: int) -> float | None:
    """The bound moved by `by` steps along the axis; a bound outside of the picture begins at its edge."""
    place = parked_place(name) if bound is None else axis.place(bound)
    moved = max(0.0, min(place, 1.0)) + by * STEP
    return bound_at(name, axis, moved)
