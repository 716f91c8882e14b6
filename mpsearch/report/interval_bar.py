"""An uncertain value as a line with a point on it, so that overlapping ones are seen to overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalBars:
    """Bars of `width` cells on one common scale from `low` to `high`."""

    low: float
    high: float
    width: int

    @classmethod
    def fitting(cls, intervals: Sequence[tuple[float, float]], width: int) -> IntervalBars:
        """The scale that shows all of them that are known."""
        known = [bound for interval in intervals for bound in interval if not math.isnan(bound)]
        return cls(low=min(known, default=0.0), high=max(known, default=1.0), width=width)

    def text(self, value: float, interval: tuple[float, float], style: str = "") -> Text:
        """Empty where the value or its interval is unknown."""
        if math.isnan(value) or math.isnan(interval[0]):
            return Text(" " * self.width)
        first, point, last = (self._cell(bound) for bound in (interval[0], value, interval[1]))
        bar = Text(" " * first)
        bar.append("─" * (point - first), "dim")
        bar.append("●", style)
        bar.append("─" * (last - point), "dim")
        return bar.append(" " * (self.width - 1 - last))

    def _cell(self, value: float) -> int:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return min(max(round(share * (self.width - 1)), 0), self.width - 1)
