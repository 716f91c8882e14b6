"""A policy at a glance: one coloured cell per layer, readable without colour too."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme
from mpsearch.report.flow import Flow

# Warm is few bits, cool is many. The symbol alone tells the scheme.
SYMBOLS: dict[str, str] = {
    "w1a1": "x",
    "w1a8": "1",
    "w1.58a8": "t",
    "w4a8": "4",
    "w8a8": "8",
    "w32a32": "F",
}
_COLOURS: dict[str, str] = {
    "w1a1": "#c8553d",
    "w1a8": "#e08e45",
    "w1.58a8": "#d9b44a",
    "w4a8": "#6aa56e",
    "w8a8": "#4f86b8",
    "w32a32": "#7d7d8a",
}
_MEANINGS: dict[str, str] = {
    "w1a1": "1 bit, 1-bit activations",
    "w1a8": "1 bit",
    "w1.58a8": "ternary, 1.58 bit",
    "w4a8": "4 bit",
    "w8a8": "8 bit",
    "w32a32": "32-bit float",
}
LEAST_WIDTH = 3


def scheme_style(scheme: Scheme) -> Style:
    """Dark letters on the colour of that scheme."""
    return Style(color="#101010", bgcolor=_COLOURS[scheme.name])


def scheme_colour(scheme: Scheme) -> str:
    return _COLOURS[scheme.name]


def precision_text(policy: PrecisionPolicy, layers: Sequence[str] | None = None) -> str:
    """One symbol per layer in call order, such as "8t44xx18"."""
    return "".join(SYMBOLS[policy[layer].name] for layer in (layers or tuple(policy)))


def precision_strip(
    policy: PrecisionPolicy, *, width: int | None = None, layers: Sequence[str] | None = None
) -> Text:
    """One coloured cell per layer; past `width` cells the middle is left out and shown as "…"."""
    schemes = [policy[layer] for layer in (layers or tuple(policy))]
    strip = Text(no_wrap=True)
    if width is None or len(schemes) <= width:
        head, tail = schemes, []
    else:
        kept = max(width, LEAST_WIDTH) - 1
        head, tail = schemes[: kept - kept // 2], schemes[len(schemes) - kept // 2 :]
    for scheme in head:
        strip.append(SYMBOLS[scheme.name], scheme_style(scheme))
    if tail:
        strip.append("…", "dim")
    for scheme in tail:
        strip.append(SYMBOLS[scheme.name], scheme_style(scheme))
    return strip


def precision_legend(schemes: Sequence[Scheme] | None = None) -> Flow:
    """What each symbol means; only the schemes given, lowest precision first."""
    shown = [scheme for scheme in SCHEMES.values() if schemes is None or scheme in schemes]
    return Flow(
        [Text.assemble((SYMBOLS[s.name], scheme_style(s)), (f" {_MEANINGS[s.name]}", "dim")) for s in shown]
    )
