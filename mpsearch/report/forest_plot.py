"""Intervals as dots and whiskers on one axis of characters, a line each: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_MOST_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An interval around `middle`, which lies in it. `style` colours its dot and whiskers."""

    low: float
    middle: float
    high: float
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestAxis:
    """From `low` to `high`, with a line at 0 and one at `limit`. What lies outside ends in an arrow."""

    low: float
    high: float
    limit: float

    @classmethod
    def fitted(cls, whiskers: Sequence[Whisker], *, limit: float) -> ForestAxis:
        """The axis that shows zero, the limit and most whiskers; a wild one does not squash the rest."""
        highs = sorted(whisker.high for whisker in whiskers)
        usual = highs[(3 * len(highs)) // 4] if highs else limit
        high = max(1.25 * limit, min(highs[-1] if highs else limit, 2.5 * usual))
        low = min((whisker.low for whisker in whiskers), default=0.0)
        return cls(low=max(min(low, -0.1 * limit), -0.5 * high), high=high, limit=limit)

    def place(self, value: float, width: int) -> int:
        """The cell of a value; outside of 0..width-1 if it lies outside of the axis."""
        return math.floor((value - self.low) / (self.high - self.low) * (width - 1) + 0.5)

    def ticks(self, width: int) -> str:
        """Round values over their cells."""
        span = self.high - self.low
        most = min(_MOST_TICKS, max(width // 7, 2))
        step = next((step for step in _STEPS if span / step <= most), span)
        line = [" "] * width
        value = math.ceil(self.low / step) * step
        while value <= self.high:
            text = f"{value + 0.0:g}" if abs(value) > 1e-9 else "0"
            text = text if len(text) < 6 else f"{value:.1f}"
            start = min(self.place(value, width) - (len(text) - 1) // 2, width - len(text))
            if start >= 0 and all(cell == " " for cell in line[max(start - 1, 0) : start + len(text) + 1]):
                line[start : start + len(text)] = text
            value = round(value + step, 9)
        return "".join(line)

    def row(self, whisker: Whisker | None, width: int) -> Text:
        """Shape: one line of `width` cells."""
        cells = [" "] * width
        styles = ["dim"] * width
        for place, mark in ((self.place(self.limit, width), "┊"), (self.place(0.0, width), "│")):
            if 0 <= place < width:
                cells[place] = mark
        if whisker is not None:
            start, end = self.place(whisker.low, width), self.place(whisker.high, width)
            for place in range(max(start, 0), min(end, width - 1) + 1):
                cells[place], styles[place] = "─" if cells[place] == " " else "┼", whisker.style
            if start < 0:
                cells[0], styles[0] = "<", whisker.style
            if end >= width:
                cells[-1], styles[-1] = ">", whisker.style
            middle = self.place(whisker.middle, width)
            if 0 <= middle < width:
                cells[middle], styles[middle] = "●", f"bold {whisker.style}"
        line = Text()
        for cell, style in zip(cells, styles, strict=True):
            line.append(cell, style)
        return line
