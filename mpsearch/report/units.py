"""Numbers as people read them in a table: three significant digits, a unit, a dash where unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mpsearch.search.budgets import Budgets
from mpsearch.search.quantities import format_duration, format_energy, format_number, format_size

UNKNOWN = "–"


def _is_unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


def bytes_text(size_bytes: float | None) -> str:
    """41234 -> "41.2 KB"; 1 KB is 1000 bytes."""
    return UNKNOWN if size_bytes is None or _is_unknown(size_bytes) else format_size(size_bytes)


def seconds_text(duration_s: float | None) -> str:
    """0.000312 -> "312 µs"."""
    if duration_s is None or _is_unknown(duration_s):
        return UNKNOWN
    return format_duration(duration_s).replace(" us", " µs")


def joules_text(energy_j: float | None) -> str:
    """4.1e-6 -> "4.10 µJ"."""
    if energy_j is None or _is_unknown(energy_j):
        return UNKNOWN
    return format_energy(energy_j).replace(" uJ", " µJ")


def percent_text(fraction: float | None, decimals: int = 2) -> str:
    """0.9153 -> "91.53%"."""
    return UNKNOWN if fraction is None or _is_unknown(fraction) else f"{100 * fraction:.{decimals}f}%"


def number_text(value: float | None) -> str:
    """A loss: 0.25134 -> "0.2513"."""
    return UNKNOWN if value is None or _is_unknown(value) else format_number(value)


def interval_text(interval: tuple[float, float]) -> str:
    """(0.962, 0.989) -> "96.2–98.9": percent, two decimals where one would say nothing."""
    low, high = interval
    if math.isnan(low):
        return UNKNOWN
    decimals = 1 if high - low >= 0.01 else 2
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}"


def points_text(change: float) -> str:
    """A change of a share in percentage points: "+0.42", "−1.20"; what rounds to none has no sign."""
    if math.isnan(change):
        return UNKNOWN
    text = f"{100 * change:+.2f}"
    return text.replace("-", "−") if float(text) else text[1:]


# The unit of a quantity -> how its values are read.
UNIT_TEXTS: dict[str, Callable[[float | None], str]] = {
    "1": percent_text,
    "": number_text,
    "s": seconds_text,
    "B": bytes_text,
    "J": joules_text,
}


def spread_text(median_s: float, quartiles_s: tuple[float, float]) -> str:
    """Median and quartiles: "312 µs (305 µs – 330 µs)"."""
    low, high = quartiles_s
    return f"{seconds_text(median_s)} ({seconds_text(low)} – {seconds_text(high)})"


def factor_text(ratio: float | None) -> str:
    """12.34 -> "12.3×", 123.4 -> "123×"."""
    if ratio is None or not math.isfinite(ratio):
        return UNKNOWN
    decimals = 2 if abs(ratio) < 9.995 else 1 if abs(ratio) < 99.95 else 0
    return f"{ratio:.{decimals}f}×"


def wait_text(duration_s: float | None) -> str:
    """A time that a person waits, in whole seconds: "45 s", "3m 20s", "2h 05m"."""
    if duration_s is None or not math.isfinite(duration_s):
        return UNKNOWN
    return f"{duration_s:.0f} s" if duration_s < 59.5 else format_duration(round(duration_s))


def budgets_text(budgets: Budgets) -> str:
    """As in "latency ≤ 70 µs, memory ≤ 40 KB"."""
    text = str(budgets)
    for written, read in ((" <= ", " ≤ "), (" >= ", " ≥ "), (" us", " µs"), (" uJ", " µJ")):
        text = text.replace(written, read)
    return text


def count_text(count: float) -> str:
    """1234567 -> "1.23 M"."""
    for size, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * size:
            amount = count / size
            return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f}{name}"
    return f"{count:g}"


def counted(count: int, thing: str) -> str:
    """1, "trial" -> "1 trial"; 12, "trial" -> "12 trials"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUnit:
    """One unit and number of decimals for a whole column, so that its numbers align."""

    name: str
    size: float
    decimals: int

    @classmethod
    def fitting(cls, unit: str, values: Iterable[float]) -> ColumnUnit:
        """The unit in which the least value has three figures and at least one before the point.

        `unit` is that of the values: "1" (shown in percent), "" (a loss), "s", "B" or "J".
        """
        if unit == "":
            return cls(name="", size=1.0, decimals=4)
        if unit == "1":
            return cls(name="%", size=0.01, decimals=2)
        known = [value for value in values if math.isfinite(value) and value > 0]
        least = min(known, default=1.0)
        name, size = next(((n, s) for n, s in _LADDERS[unit] if least >= 0.9995 * s), _LADDERS[unit][-1])
        amount = least / size
        decimals = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
        return cls(name=name, size=size, decimals=0 if name == "B" else decimals)

    @classmethod
    def fitting_parts(cls, unit: str, values: Sequence[float]) -> ColumnUnit:
        """The unit of the last value, the total, with decimals enough to see the others, its parts."""
        whole = cls.fitting(unit, values[-1:])
        parts = [value / whole.size for value in values if math.isfinite(value) and value > 0]
        least = min(parts, default=1.0)
        decimals = 2 if least < 0.1 else 1 if least < 10 else 0
        return replace(whole, decimals=0 if whole.name == "B" else max(whole.decimals, decimals))

    def text(self, value: float | None) -> str:
        return UNKNOWN if value is None or math.isnan(value) else f"{value / self.size:z.{self.decimals}f}"

    def change_text(self, change: float) -> str:
        """With its sign; "0" for what rounds to none."""
        if math.isnan(change):
            return UNKNOWN
        text = f"{change / self.size:+.{self.decimals}f}"
        return text if any(figure in "123456789" for figure in text) else "0"


_LADDERS: dict[str, tuple[tuple[str, float], ...]] = {
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)),
    "B": (("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1.0)),
    "J": (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9), ("pJ", 1e-12)),
}
