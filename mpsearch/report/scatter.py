"""The front as a plot in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mpsearch.report.axis import Axis, Quantity
from mpsearch.report.canvas import Canvas
from mpsearch.report.flow import Flow

MarkKind = Literal["over budget", "trial", "uniform", "baseline", "front", "best", "knee"]


@dataclass(frozen=True, slots=True)
class _Look:
    symbol: str
    ascii_symbol: str
    style: str
    legend: str


# In drawing order: the last covers the others.
_LOOKS: dict[MarkKind, _Look] = {
    "over budget": _Look("×", "x", "red dim", "over budget"),
    "trial": _Look("•", ".", "bright_black", "other trial"),
    "uniform": _Look("□", "u", "cyan", "uniform"),
    "baseline": _Look("◆", "B", "blue", "32-bit baseline"),
    "front": _Look("●", "o", "green", "front"),
    "best": _Look("◉", "*", "bold bright_green", "best under budget"),
    "knee": _Look("★", "K", "bold yellow", "knee"),
}
_LINE_STYLE = "green dim"
_WIDEST = 110
_LEAST_PLOT_WIDTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point of the plot, in the units of the axes."""

    x: float
    y: float
    kind: MarkKind
    label: str = ""
    is_on_front: bool = False  # joined by the staircase, whatever its kind


class Scatter:
    """A cost to the right, accuracy upwards; the front joined by its staircase.

    Fits the width it is given; plain ASCII where the terminal cannot show more. `x_limit` is a budget,
    drawn as a line.
    """

    def __init__(
        self,
        marks: Sequence[Mark],
        *,
        x: Quantity,
        y: Quantity,
        height: int = 16,
        x_limit: float | None = None,
    ) -> None:
        self._marks = tuple(marks)
        self._x_quantity, self._y_quantity = x, y
        self._height = height
        self._x_limit = x_limit

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._marks:
            yield Text("Nothing to plot yet: no trial has finished.", "dim")
            return
        is_ascii = options.ascii_only
        x_values = [mark.x for mark in self._marks]
        if self._x_limit is not None and self._x_limit > 0:
            x_values.append(self._x_limit)
        x_axis = Axis.fitted(self._x_quantity, x_values)
        y_axis = Axis.fitted(self._y_quantity, [mark.y for mark in self._marks])
        y_ticks = y_axis.ticks(max(self._height // 3, 2))
        gutter = max([len(text) for _, text in y_ticks], default=0) + 1
        width = min(options.max_width, _WIDEST) - gutter - 2
        if width < _LEAST_PLOT_WIDTH:
            yield Text("The plot needs a wider terminal.", "dim")
            return
        canvas = Canvas(width, self._height)
        self._draw(canvas, x_axis, y_axis, is_ascii=is_ascii)
        up, right = ("^", "->") if is_ascii else ("↑", "→")
        yield Text.assemble(" " * (gutter + 1), (f"{up} {y_axis.title}", "bold"))
        yield from self._body(canvas, y_ticks, gutter, is_ascii=is_ascii)
        yield from self._bottom(x_axis.ticks(max(width // 14, 2)), gutter, width, is_ascii=is_ascii)
        title = f"{x_axis.title} {right}"
        yield Text.assemble(" " * (gutter + 1 + max(width - len(title), 0)), (title, "bold"))
        yield self._legend(is_ascii=is_ascii)

    def _draw(self, canvas: Canvas, x_axis: Axis, y_axis: Axis, *, is_ascii: bool) -> None:
        places = [(mark, x_axis.place(mark.x), y_axis.place(mark.y)) for mark in self._marks]
        if not is_ascii:
            stairs = sorted((x, y) for mark, x, y in places if mark.is_on_front)
            for (x0, y0), (x1, y1) in pairwise(stairs):
                canvas.segment((x0, y0), (x1, y0), _LINE_STYLE)
                canvas.segment((x1, y0), (x1, y1), _LINE_STYLE)
        order = list(_LOOKS)
        places.sort(key=lambda place: order.index(place[0].kind))
        for mark, x, y in places:
            look = _LOOKS[mark.kind]
            canvas.symbol(x, y, look.ascii_symbol if is_ascii else look.symbol, look.style)
        for mark, x, y in reversed(places):  # the most important label takes its place first
            if mark.label:
                canvas.label(x, y, mark.label, _LOOKS[mark.kind].style)
        if self._x_limit is not None:
            limit = x_axis.place(self._x_limit)
            canvas.label(limit, 1.0, "budget", "red dim")
            canvas.column(limit, ":" if is_ascii else "┊", "red dim")

    def _body(
        self, canvas: Canvas, y_ticks: Sequence[tuple[float, str]], gutter: int, *, is_ascii: bool
    ) -> RenderResult:
        texts: dict[int, str] = {}
        for place, text in y_ticks:
            if (cell := canvas.cell(0, place)) is not None:
                texts[cell[1]] = text
        tick, plain = ("+", "|") if is_ascii else ("┤", "│")
        for row, line in enumerate(canvas.lines()):
            edge = tick if row in texts else plain
            yield Text.assemble((f"{texts.get(row, ''):>{gutter - 1}} {edge}", "dim"), line, no_wrap=True)

    def _bottom(
        self, ticks: Sequence[tuple[float, str]], gutter: int, width: int, *, is_ascii: bool
    ) -> RenderResult:
        corner, line, notch = ("+", "-", "+") if is_ascii else ("└", "─", "┬")
        edge, texts = [line] * width, [" "] * (gutter + width + 2)
        free_from = 0
        for place, text in ticks:
            column = min(int(place * width), width - 1)
            start = max(min(gutter + 1 + column - len(text) // 2, len(texts) - len(text)), 0)
            if start < free_from:
                continue
            edge[column] = notch
            texts[start : start + len(text)] = text
            free_from = start + len(text) + 2
        yield Text(" " * gutter + corner + "".join(edge), "dim", no_wrap=True)
        yield Text("".join(texts).rstrip(), "dim", no_wrap=True)

    def _legend(self, *, is_ascii: bool) -> Flow:
        kinds = {mark.kind for mark in self._marks}
        return Flow(
            [
                Text.assemble(
                    (look.ascii_symbol if is_ascii else look.symbol, look.style), (f" {look.legend}", "dim")
                )
                for kind, look in reversed(_LOOKS.items())
                if kind in kinds
            ]
        )
