"""A policy at a glance: one coloured cell a layer, readable without colour too."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
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
_HALF = "▌"
_MARK = 6  # cells of a width before a strip, so that strips of common widths stand below each other


def scheme_style(scheme: Scheme) -> Style:
    """Dark letters on the colour of that scheme."""
    return Style(color="#101010", bgcolor=_COLOURS[scheme.name])


def scheme_colour(scheme: Scheme) -> str:
    return _COLOURS[scheme.name]


def scheme_meaning(scheme: Scheme) -> str:
    """As in "ternary, 1.58 bit"."""
    return _MEANINGS[scheme.name]


def precision_text(policy: PrecisionPolicy, layers: Sequence[str]) -> str:
    """One symbol per layer, such as "8t44xx18"."""
    return "".join(SYMBOLS[policy[layer].name] for layer in layers)


def layers_a_cell(layers: int, width: int) -> int:
    """How many layers each cell of a strip of at most `width` cells stands for: 1, or an even number."""
    return 1 if layers <= width else 2 * math.ceil(layers / (2 * max(width, 1)))


@dataclass(frozen=True, slots=True)
class PrecisionStrip:
    """One cell a layer; a deep model is compressed evenly, as many layers to every cell.

    With colour, each half of a compressed cell has its own, so that twice as many layers as cells lose
    nothing. Without, its symbol is the most frequent of its layers', and of equally frequent ones that which
    is rarer in the policy.
    """

    schemes: tuple[Scheme, ...]
    width: int | None = None

    @classmethod
    def of(
        cls, policy: PrecisionPolicy, *, width: int | None = None, layers: Sequence[str] | None = None
    ) -> PrecisionStrip:
        return cls(tuple(policy[layer] for layer in (layers or tuple(policy))), width)

    @property
    def layers_a_cell(self) -> int:
        return 1 if self.width is None else layers_a_cell(len(self.schemes), self.width)

    @property
    def cells(self) -> int:
        return math.ceil(len(self.schemes) / self.layers_a_cell)

    def text(self, *, has_halves: bool = False) -> Text:
        """`has_halves`: draw both halves of compressed cells, which says nothing without colour."""
        strip = Text(no_wrap=True)
        each = self.layers_a_cell
        shares = Counter(self.schemes)
        for start in range(0, len(self.schemes), each):
            cell = self.schemes[start : start + each]
            left, right = (
                _typical(cell[: each // 2 or 1], shares),
                _typical(cell[each // 2 :] or cell, shares),
            )
            if has_halves and left != right:
                strip.append(_HALF, Style(color=_COLOURS[left.name], bgcolor=_COLOURS[right.name]))
            else:
                scheme = left if left == right else _typical(cell, shares)
                strip.append(SYMBOLS[scheme.name], scheme_style(scheme))
        return strip

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        is_coloured = console.color_system is not None and not console.no_color
        yield self.text(has_halves=is_coloured and not options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.cells, self.cells)


def _typical(cell: Sequence[Scheme], shares: Counter[Scheme]) -> Scheme:
    """The most frequent of a cell, of equals the one with the least share of the policy."""
    return cell[0] if len(cell) == 1 else max(cell, key=lambda scheme: (cell.count(scheme), -shares[scheme]))


def precision_strip(
    policy: PrecisionPolicy, *, width: int | None = None, layers: Sequence[str] | None = None
) -> Text:
    """The strip as text, one coloured symbol a cell; past `width` layers it is compressed evenly.

    Where the width of the model is a choice, that stands before it: " 0.5x 8t44"; see `mark_cells`.
    """
    strip = PrecisionStrip.of(policy, width=width, layers=layers).text()
    if policy.width is None:
        return strip
    mark = f"{policy.width:g}x "
    return Text(f"{mark:>{_MARK}}", no_wrap=True).append_text(strip)


def mark_cells(policy: PrecisionPolicy) -> int:
    """How many cells `precision_strip` takes beside the layers."""
    return 0 if policy.width is None else max(_MARK, len(f"{policy.width:g}x "))


def precision_legend(schemes: Sequence[Scheme] | None = None) -> Flow:
    """What each symbol means; only the schemes given, lowest precision first."""
    shown = [scheme for scheme in SCHEMES.values() if schemes is None or scheme in schemes]
    return Flow(
        [Text.assemble((SYMBOLS[s.name], scheme_style(s)), (f" {_MEANINGS[s.name]}", "dim")) for s in shown]
    )
