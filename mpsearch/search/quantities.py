"""Quantities as people write them: 60KB, 400us, 5uJ, 90%."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction

from mpsearch.errors import ConfigError

# Unit (lower case) -> its size in the base unit, exact. KB is 1000 bytes, KiB 1024.
SIZE_UNITS: dict[str, Fraction] = {
    "b": Fraction(1),
    "kb": Fraction(10**3),
    "mb": Fraction(10**6),
    "gb": Fraction(10**9),
    "kib": Fraction(2**10),
    "mib": Fraction(2**20),
    "gib": Fraction(2**30),
}
DURATION_UNITS: dict[str, Fraction] = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
}
# Case matters here: mJ is not MJ.
ENERGY_UNITS: dict[str, Fraction] = {
    "pJ": Fraction(1, 10**12),
    "nJ": Fraction(1, 10**9),
    "uJ": Fraction(1, 10**6),
    "mJ": Fraction(1, 10**3),
    "J": Fraction(1),
}

# Lengths are bounded so that no text makes a number that takes long to compute.
_QUANTITY = re.compile(
    r"([0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(e[+-]?[0-9]{1,3})?\s*([^\W\d_]*)",
    re.IGNORECASE | re.ASCII,
)


def parse_size_bytes(text: str) -> float:
    """Bytes in a size such as `60KB` (1000 bytes each) or `60KiB` (1024).

    Raises: ConfigError if it is not a positive number with a unit.
    """
    return _parse(text, "A size", "60KB, 1.5MB or 64KiB", SIZE_UNITS, fold_case=True)


def parse_duration_s(text: str) -> float:
    """Seconds in a duration such as `400us`, `1.2ms`, `30m` (minutes) or `2h`.

    Raises: ConfigError if it is not a positive number with a unit.
    """
    return _parse(text, "A duration", "400us, 1.2ms, 90s or 30m", DURATION_UNITS, fold_case=True)


def parse_energy_j(text: str) -> float:
    """Joules in an energy such as `5uJ`.

    Raises: ConfigError if it is not a positive number with a unit.
    """
    return _parse(text, "An energy", "5uJ or 1.2mJ", ENERGY_UNITS, fold_case=False)


def parse_fraction(value: str | float) -> float:
    """A share between 0 and 1, written `0.9` or `90%`.

    Raises: ConfigError if it is anything else.
    """
    rule = f"A fraction must be between 0 and 1, such as 0.9 or 90%; got {value!r}."
    text = str(value).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ConfigError(rule) from None
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise ConfigError(rule)
    return share


def parse_number(value: str | float) -> float:
    """A number above 0 without a unit, such as a loss of `0.25`.

    Raises: ConfigError if it is anything else.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(
            f"A loss must be a number above 0 without a unit, such as 0.25; got {value!r:.100}."
        )
    return number


def parse_shares(text: str) -> tuple[float, ...]:
    """Shares with commas between them: `0.1,0.3` or `10%, 30%`.

    Raises: ConfigError if a part is no number from 0 to 1.
    """
    return tuple(parse_fraction(part) for part in text.split(","))


def format_number(value: float) -> str:
    """`0.2513`: four figures, for what has no unit."""
    return f"{value:.4g}"


def format_size(size_bytes: float) -> str:
    """`41.2 KB`: three figures, decimal units."""
    return _format(size_bytes, (("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1)))


def format_duration(duration_s: float) -> str:
    """`387 us` to `59.9 s`, then `12m 05s`, then `2h 03m`."""
    if 59.95 <= duration_s < math.inf:
        minutes, seconds = divmod(round(duration_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {seconds:02d}s"
    return _format(duration_s, (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)))


def format_energy(energy_j: float) -> str:
    """`5.12 uJ`: three figures."""
    return _format(energy_j, (("J", 1), ("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9), ("pJ", 1e-12)))


def _parse(text: str, what: str, examples: str, units: Mapping[str, Fraction], *, fold_case: bool) -> float:
    micro = (
        text.strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
        if isinstance(text, str)
        else ""
    )
    match = _QUANTITY.fullmatch(micro)
    unit = (match[3].lower() if fold_case else match[3]) if match else ""
    value = math.nan
    if match and unit in units:
        with suppress(OverflowError):
            value = float(Fraction(match[1] + (match[2] or "")) * units[unit])
    if not value > 0:  # NaN too
        raise ConfigError(
            f"{what} must be a positive number with a unit ({', '.join(units)}), such as {examples}; "
            f"got {text!r:.100}."
        )
    return value


def _format(value: float, units: tuple[tuple[str, float], ...]) -> str:
    if not math.isfinite(value):
        return str(value)
    # 0.9995 of a unit already prints as 1 of it.
    name, size = next((unit for unit in units if abs(value) >= 0.9995 * unit[1]), units[-1])
    amount = value / size
    whole = amount == int(amount) and size == units[-1][1]  # "7 B", not "7.00 B"
    return (
        f"{amount:.0f} {name}" if whole or abs(amount) >= 999.5 else f"{amount:#.3g}".rstrip(".") + f" {name}"
    )
