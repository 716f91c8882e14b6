"""The layers of a policy, one row each: scheme, and share of latency and of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

from mpsearch.cost.cost_report import CostReport, LayerCost
from mpsearch.precision.scheme import Scheme
from mpsearch.report.inspector.cells import Cell
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.precision_strip import SYMBOLS
from mpsearch.report.share_bar import share_bar
from mpsearch.report.shortened import shortened
from mpsearch.report.units import bytes_text, counted, seconds_text

LayerSort = Literal["call order", "latency", "memory"]
SORTS: tuple[LayerSort, ...] = ("call order", "latency", "memory")
_PERCENT = 4
_VALUE = 9
_SCHEME = 8
_LEAST_NAME, _LEAST_BAR, _WIDEST_BAR = 6, 3, 14
REST, SHORT_REST = "outside of layers", "the rest"


@dataclass(frozen=True, slots=True)
class _Columns:
    name: int
    scheme: int
    value: int
    bar: int


def _columns(width: int, names: Sequence[str]) -> _Columns:
    """What fits: first the names, then scheme names, then values, then longer bars."""
    longest = max((len(name) for name in names), default=_LEAST_NAME)
    fixed = 2 + 2 * (1 + _LEAST_BAR + _PERCENT)
    left = width - fixed - min(longest, 13)
    scheme = _SCHEME if left >= _SCHEME else 0
    left -= scheme
    value = _VALUE if left >= 2 * _VALUE else 0
    left -= 2 * value
    name = min(longest, 13) + max(min(longest - 13, left), 0)
    if scheme:  # the row for what lies outside of layers has a long name and no scheme
        name = max(name, min(len(REST) - scheme, width))
    name = max(min(name, width - fixed - scheme - 2 * value), _LEAST_NAME)
    rest = width - 2 - name - scheme - 2 * (value + 1 + _PERCENT)
    return _Columns(name, scheme, value, max(min(rest // 2, _WIDEST_BAR), 1))


def strip_lines(schemes: Sequence[Scheme], palette: Palette, *, width: int, most: int) -> list[Text]:
    """One cell a layer on up to `most` lines; what does not fit is left out of the middle, as "…"."""
    room = width * most
    shown: list[Scheme | None] = list(schemes)
    if len(schemes) > room:
        tail = (room - 1) // 2
        shown = [*schemes[: room - 1 - tail], None, *schemes[len(schemes) - tail :]]
    lines = []
    for start in range(0, len(shown), max(width, 1)):
        line = Text(no_wrap=True)
        for scheme in shown[start : start + width]:
            if scheme is None:
                line.append("…", palette.ink("dim"))
            else:
                line.append(SYMBOLS[scheme.name], palette.block(scheme))
        lines.append(line)
    return lines


class LayerTable:
    """One policy's layers in the order asked for, and last what belongs to no layer; rows are made on demand.

    Shares are of the whole pass and of the whole model.
    """

    def __init__(self, report: CostReport, palette: Palette, *, width: int, sort: LayerSort) -> None:
        self._report, self._palette, self._sort = report, palette, sort
        self._columns = _columns(width, [layer.name for layer in report.layers])
        self._layers = list(report.layers)
        if sort != "call order":
            self._layers.sort(key=lambda la: -(la.latency_s if sort == "latency" else la.memory_bytes))
        # The longest bar fills its column: the numbers beside the bars say how much that is.
        self._latency = _Shares(
            total=report.latency_s,
            greatest=max(report.remainder_latency_s, *(la.latency_s for la in report.layers)),
            text=seconds_text,
        )
        self._memory = _Shares(
            total=report.memory_bytes,
            greatest=max(report.other_memory_bytes, *(la.memory_bytes for la in report.layers)),
            text=bytes_text,
        )

    def __len__(self) -> int:
        return len(self._layers) + 1

    def heading(self) -> str:
        """The titles over the columns; one of them is marked if the rows are in its order."""
        columns, count = self._columns, len(self._layers)
        part = columns.value + columns.bar + _PERCENT
        titles = [f"{name} ▾" if name == self._sort else name for name in ("latency", "memory")]
        title = counted(count, "layer")
        return f"{title:<{2 + columns.name + columns.scheme}}" + "".join(
            f" {name:>{part}}" for name in titles
        )

    def row(self, place: int) -> list[Cell]:
        """The row at that place from the top."""
        return self._rest() if place == len(self._layers) else self._layer(self._layers[place])

    def _layer(self, layer: LayerCost) -> list[Cell]:
        palette, columns = self._palette, self._columns
        cells = [
            (SYMBOLS[layer.scheme.name], palette.block(layer.scheme)),
            (f" {shortened(layer.name, columns.name):<{columns.name}}", palette.ink("text")),
        ]
        if columns.scheme:
            cells.append((f" {layer.scheme.name:<{columns.scheme - 1}}", palette.ink("dim")))
        ink = palette.bar(layer.scheme)
        cells += self._latency.cells(layer.latency_s, columns, palette, ink)
        return cells + self._memory.cells(layer.memory_bytes, columns, palette, ink)

    def _rest(self) -> list[Cell]:
        report, palette, columns = self._report, self._palette, self._columns
        dim, width = palette.ink("dim"), columns.name + columns.scheme
        name = REST if len(REST) <= width else SHORT_REST
        return [
            (f"  {name:<{width}}", dim),
            *self._latency.cells(report.remainder_latency_s, columns, palette, dim),
            *self._memory.cells(report.other_memory_bytes, columns, palette, dim),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shares:
    """One quantity of all layers: its sum, its greatest part, how a value is written."""

    total: float
    greatest: float
    text: Callable[[float], str]

    def cells(self, value: float, columns: _Columns, palette: Palette, ink: str) -> list[Cell]:
        percent = f"{100 * value / (self.total or 1.0):.0f}%"
        cells = [
            (" " + share_bar(value / (self.greatest or 1.0), columns.bar), ink),
            (f"{percent:>{_PERCENT}}", palette.ink("dim")),
        ]
        if columns.value:
            cells.insert(0, (f"{self.text(value):>{columns.value}}", palette.ink("text")))
        return cells
