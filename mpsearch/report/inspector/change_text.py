"""Changes as people read them: signed, with a unit, and honest about noise."""

from __future__ import annotations

import math

from rich.text import Text

from mpsearch.report.inspector.palette import Palette
from mpsearch.report.units import UNIT_TEXTS, UNKNOWN, points_text
from mpsearch.search.score_difference import ScoreDifference

UNCLEAR = "≈"


def signed(text: str, value: float) -> str:
    """`text` is that of the value without its sign; 0 has none."""
    if math.isnan(value):
        return UNKNOWN
    return text if value == 0 else ("+" if value > 0 else "−") + text


def cost_change(unit: str, change: float) -> str:
    """A change of a cost of that unit (s, B, J): "−3.10 µs"; a dash where there is none."""
    return "=" if change == 0 else signed(UNIT_TEXTS[unit](abs(change)), change)


def range_text(low: float, high: float) -> str:
    """Two shares as percent: "97.7–99.7"; empty where unknown."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{_percent(low)}–{_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.9995 else "100"


def score_change(difference: ScoreDifference, palette: Palette, width: int) -> Text:
    """Right-aligned to `width` cells, the last for "≈" where the samples cannot tell the two apart."""
    text = points_text(difference.change)
    if not difference.is_clear:
        return Text.assemble((f"{text:>{width - 1}}", palette.ink("dim")), (UNCLEAR, palette.ink("dim")))
    ink = palette.ink("gain" if difference.change > 0 else "loss")
    return Text(f"{text:>{width - 1}} ", ink)


def cost_cell(unit: str, change: float, palette: Palette, width: int) -> Text:
    """Right-aligned; cheaper is a gain."""
    ink = "dim" if change == 0 else "gain" if change < 0 else "loss"
    return Text(f"{cost_change(unit, change):>{width}}", palette.ink(ink))


def verdict(first: str, second: str, difference: ScoreDifference) -> str:
    """One sentence on which of two scores better, and whether that can be said."""
    if not difference.is_known:
        return (
            f"{second} scores {points_text(difference.change)} points against {first}; the spread is unknown."
        )
    if difference.change == 0:
        return f"{first} and {second} score the same ({_lead_text(difference.low, difference.high)})."
    better, worse = (second, first) if difference.change > 0 else (first, second)
    leads = (
        (difference.low, difference.high) if difference.change > 0 else (-difference.high, -difference.low)
    )
    margin = f"{abs(100 * difference.change):.2f} points"
    if not difference.is_clear:
        seeds = " and the spread of seeds" if difference.of_seeds else ""
        return (
            f"{better} scores {margin} higher, but {difference.samples} samples{seeds} cannot tell the two "
            f"apart ({_lead_text(*leads)})."
        )
    return f"{better} scores {margin} higher than {worse} ({_lead_text(*leads)})."


def _lead_text(low: float, high: float) -> str:
    return f"95% interval {points_text(low)} to {points_text(high)}"
