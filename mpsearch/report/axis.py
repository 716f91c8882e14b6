"""One axis of a terminal plot: scale, ticks, text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

ScaleKind = Literal["linear", "log", "log error"]
_LOG_FROM_RANGE = 10.0  # a wider range than this is unreadable on a linear axis
_MARGIN = 0.04
_FINER = 4
_FOCUS = 3.0  # what lies further out than this many times the core is left at the edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What an axis shows. `text` formats one value with its unit.

    A `fraction` (accuracy, of which more is better) whose errors span a wide range is drawn on the logarithm
    of 1 - value, so that 98 % and 99 % stay as far apart as 80 % and 90 %.
    """

    name: str
    text: Callable[[float], str]
    is_fraction: bool = False


def trimmed(text: str) -> str:
    """A tick's text without trailing zeros: "1.00 ms" -> "1 ms", "91.50 %" -> "91.5 %"."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", lambda m: "" if m.group(1) == "." else m.group(1), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Maps a value to 0..1 along the axis, and knows its ticks."""

    quantity: Quantity
    kind: ScaleKind
    low: float
    high: float
    error_floor: float = 0.0

    @classmethod
    def fitted(cls, quantity: Quantity, values: Sequence[float], kind: ScaleKind | None = None) -> Axis:
        """The scale that shows all of `values` (at least one, all finite); of that `kind` where it can be."""
        scale = _scale(quantity, values) if kind is None else _possible(kind, quantity, values)
        floor = _error_floor(values) if quantity.is_fraction else 0.0
        axis = cls(quantity=quantity, kind=scale, low=0.0, high=1.0, error_floor=floor)
        places = [axis._warped(value) for value in values]
        low, high = min(places), max(places)
        alone = 0.005 if quantity.is_fraction else abs(high) * 0.05 or 0.5  # all values are equal
        margin = (high - low) * _MARGIN or alone
        return replace(axis, low=low - margin, high=high + margin)

    @classmethod
    def focused(
        cls,
        quantity: Quantity,
        core: Sequence[float],
        others: Sequence[float],
        limits: Sequence[float] = (),
        kind: ScaleKind | None = None,
    ) -> Axis:
        """The scale that shows all of `core` well, and of `others` those that lie near it.

        All of them where that makes the axis no longer than `_FOCUS` times the core; else those at most half
        the core's length away, and such `limits` as lie no further than its length.
        """
        every = [*core, *others, *limits]
        whole = cls.fitted(quantity, every, kind)
        if not core:
            return whole
        scales = (whole, cls.fitted(quantity, every, cls.fitted(quantity, core, kind).kind))
        for axis in scales:
            places = [axis.place(value) for value in core]
            length = max(places) - min(places)
            if length <= 0 or length * _FOCUS >= 1 - 2 * _MARGIN:
                return axis
        axis = scales[-1]
        near = [
            value
            for values, reach in ((core, 0.0), (others, length / 2), (limits, length))
            for value in values
            if min(places) - reach <= axis.place(value) <= max(places) + reach
        ]
        return cls.fitted(quantity, near, axis.kind)

    def _warped(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        if self.kind == "log error":
            return -math.log10(max(1 - value, self.error_floor))
        return value

    def place(self, value: float) -> float:
        """Where along the axis, 0 at its start and 1 at its end; outside of that if it does not fit."""
        return (self._warped(value) - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return 0 <= self.place(value) <= 1

    def text(self, value: float) -> str:
        """The value with its unit, without trailing zeros."""
        return trimmed(self.quantity.text(value))

    @property
    def title(self) -> str:
        return self.quantity.name + {"linear": "", "log": " (log)", "log error": " (log of error)"}[self.kind]

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Up to `most` round values, each as (place in 0..1, text), rising."""
        candidates = self._log_values(most) if self.kind != "linear" else self._linear_values(most)
        inside = [value for value in candidates if self.holds(value)]
        for steps in range(most, most + _FINER):
            if len(inside) >= min(most, 2):
                break
            # The range lies between two round values: finer ones, on a linear scale.
            inside = [value for value in self._linear_values(steps) if self.holds(value)][:most]
        told: dict[str, float] = {}
        for value in sorted(inside):
            told.setdefault(self.text(value), self.place(value))
        return [(place, text) for text, place in told.items()]

    def _unwarped(self, warped: float) -> float:
        if self.kind == "log":
            return 10**warped
        if self.kind == "log error":
            return float(1 - 10**-warped)
        return warped

    def _linear_values(self, most: int) -> list[float]:
        low, high = self._unwarped(self.low), self._unwarped(self.high)
        rough = (high - low) / max(most - 1, 1)
        power = 10 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(low / step)
        return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]

    def _log_values(self, most: int) -> list[float]:
        is_error = self.kind == "log error"
        low, high = (-self.high, -self.low) if is_error else (self.low, self.high)
        decades = range(math.floor(low), math.ceil(high) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [factor * 10.0**decade for decade in decades for factor in factors]
            inside = [value for value in values if low <= math.log10(value) <= high]
            if len(inside) <= most:
                break
        inside = inside[:: max(1, math.ceil(len(inside) / most))]
        return [1 - value for value in inside] if is_error else inside


def _error_floor(values: Sequence[float]) -> float:
    """The least error that a logarithmic scale of errors tells from none."""
    positive = [1 - value for value in values if 1 - value > 1e-9]
    return max(min(positive) / 2, 1e-4) if positive else 1e-4


def _scale(quantity: Quantity, values: Sequence[float]) -> ScaleKind:
    if quantity.is_fraction:
        floor = _error_floor(values)
        errors = [max(1 - value, floor) for value in values]
        return "log error" if max(errors) > _LOG_FROM_RANGE * min(errors) else "linear"
    return "log" if min(values) > 0 and max(values) > _LOG_FROM_RANGE * min(values) else "linear"


def _possible(kind: ScaleKind, quantity: Quantity, values: Sequence[float]) -> ScaleKind:
    """A share has no other logarithm than that of its error, and what is not positive has none at all."""
    if kind == "linear":
        return kind
    if quantity.is_fraction:
        return "log error"
    return "log" if min(values) > 0 else "linear"
