"""Typed access to values that were read from JSON; each raises FormatError for any other type."""

from __future__ import annotations

from typing import Any

from mpsearch.errors import FormatError


def object_of(value: Any, keys: set[str], what: str) -> dict[str, Any]:
    """The value as an object with exactly these keys."""
    if not isinstance(value, dict) or set(value) != keys:
        got = sorted(value) if isinstance(value, dict) else value
        raise FormatError(f"{what} must be an object of {', '.join(sorted(keys))}; got {got!r:.200}.")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{what} must be text; got {value!r:.80}.")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise FormatError(f"{what} must be text that can be shown; got {value!r:.80}.")
    return value


def number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{what} must be a number; got {value!r:.80}.")
    try:
        return float(value)
    except OverflowError:
        raise FormatError(f"{what} must fit a float; it is too large.") from None


def whole(value: Any, what: str) -> int:
    if type(value) is not int or abs(value) >= 1 << 63:
        raise FormatError(f"{what} must be a whole number of at most 64 bits; got {value!r:.80}.")
    return value


def array(value: Any, what: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        size = "" if length is None else f" of {length}"
        raise FormatError(f"{what} must be a list{size}; got {value!r:.80}.")
    return value
