"""What the plot's axes can show, their scales, and which value lies where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from mpsearch.report.axis import Axis, Quantity, ScaleKind
from mpsearch.report.units import UNIT_TEXTS
from mpsearch.search.objective import objective_named

Scale = Literal["auto", "linear", "log"]
SCALES: tuple[Scale, ...] = ("auto", "linear", "log")


def value_text(name: str, value: float) -> str:
    """A value of that axis with its unit: "12.3 µs"."""
    return UNIT_TEXTS[objective_named(name).unit](value)


def quantity_of(name: str) -> Quantity:
    unit = objective_named(name).unit
    return Quantity(name=name, text=UNIT_TEXTS[unit], is_fraction=unit == "1")


def fitted_axis(
    name: str,
    front: Sequence[float],
    others: Sequence[float],
    *,
    bound: float | None,
    scale: Scale,
    is_near: bool,
) -> Axis:
    """An axis that shows the values of the front, and of the others all or, `is_near`, those close to it.

    A `bound` far from all of them is left out. "log" of accuracy is that of its error, 1 - accuracy; costs of
    0 have no logarithm and stay linear.
    """
    kinds: dict[Scale, ScaleKind | None] = {"auto": None, "linear": "linear", "log": "log"}
    core, rest = (front, others) if is_near and front else ([*front, *others], [])
    limits = [bound] if bound is not None and bound > 0 else []
    return Axis.focused(quantity_of(name), core, rest, limits=limits, kind=kinds[scale])


def value_at(axis: Axis, place: float) -> float:
    """The inverse of `axis.place`."""
    warped = axis.low + place * (axis.high - axis.low)
    if axis.kind == "log":
        return float(10**warped)
    if axis.kind == "log error":
        return float(1 - 10**-warped)
    return warped


def following_axis(name: str, other: str, names: Iterable[str]) -> str:
    """The next of `names` to show, never that of the other axis."""
    rest = [candidate for candidate in names if candidate != other or candidate == name]
    return rest[(rest.index(name) + 1) % len(rest)]


def following_scale(scale: Scale) -> Scale:
    return SCALES[(SCALES.index(scale) + 1) % len(SCALES)]
