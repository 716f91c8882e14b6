"""One axis of a terminal plot: scale, ticks, text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

ScaleKind = Literal["linear", "log", "log error"]
_LOG_FROM_RANGE = 10.0  # a wider range than this is unreadable on a linear axis
_MARGIN = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What an axis shows. `text` formats one value with its unit.

    A `fraction` (accuracy) whose errors span a wide range is drawn on the logarithm of 1 - value, so
    that 98 % and 99 % stay as far apart as 80 % and 90 %.
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
    def fitted(cls, quantity: Quantity, values: Sequence[float]) -> Axis:
        """The scale that shows all of `values` (at least one, all finite)."""
        kind: ScaleKind = "linear"
        floor = 0.0
        if quantity.is_fraction:
            errors = sorted(1 - value for value in values)
            positive = [error for error in errors if error > 1e-9]
            floor = max(positive[0] / 2, 1e-4) if positive else 1e-4
            if max(errors[-1], floor) > _LOG_FROM_RANGE * max(errors[0], floor):
                kind = "log error"
        elif min(values) > 0 and max(values) > _LOG_FROM_RANGE * min(values):
            kind = "log"
        axis = cls(quantity=quantity, kind=kind, low=0.0, high=1.0, error_floor=floor)
        places = [axis._warped(value) for value in values]
        low, high = min(places), max(places)
        alone = 0.005 if quantity.is_fraction else abs(high) * 0.05 or 0.5  # all values are equal
        margin = (high - low) * _MARGIN or alone
        return cls(quantity=quantity, kind=kind, low=low - margin, high=high + margin, error_floor=floor)

    def _warped(self, value: float) -> float:
        if self.kind == "log":
            return math.log10(value)
        if self.kind == "log error":
            return -math.log10(max(1 - value, self.error_floor))
        return value

    def place(self, value: float) -> float:
        """Where along the axis, 0 at its start and 1 at its end; outside of that if it does not fit."""
        return (self._warped(value) - self.low) / (self.high - self.low)

    @property
    def title(self) -> str:
        return self.quantity.name + {"linear": "", "log": " (log)", "log error": " (log of error)"}[self.kind]

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Up to `most` round values, each as (place in 0..1, text), rising."""
        candidates = self._log_values(most) if self.kind != "linear" else self._linear_values(most)
        inside = [value for value in candidates if 0 <= self.place(value) <= 1]
        if len(inside) < 2:  # the range lies between two round logarithmic values
            inside = [value for value in self._linear_values(most) if 0 <= self.place(value) <= 1]
        return [(self.place(value), trimmed(self.quantity.text(value))) for value in sorted(inside)]

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
