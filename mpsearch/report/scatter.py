"""Trials as a plot in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mpsearch.report.axis import Axis, Quantity, ScaleKind
from mpsearch.report.canvas import Canvas
from mpsearch.report.flow import Flow

MarkKind = Literal[
    "left out", "not allowed", "over budget", "trial", "uniform", "baseline", "front", "best", "knee"
]


@dataclass(frozen=True, slots=True)
class Look:
    """How marks of one kind are drawn, and what the legend calls them."""

    symbol: str
    ascii_symbol: str
    style: str
    legend: str


# In drawing order: the last covers the others.
LOOKS: dict[str, Look] = {
    "left out": Look("·", ".", "bright_black", "does not meet the filter"),
    "not allowed": Look("·", ".", "bright_black", "not allowed"),
    "over budget": Look("×", "x", "red dim", "over budget"),
    "trial": Look("•", ".", "bright_black", "other trial"),
    "uniform": Look("□", "u", "cyan", "uniform"),
    "baseline": Look("◆", "B", "blue", "32-bit baseline"),
    "front": Look("●", "o", "green", "front"),
    "best": Look("◉", "*", "bold bright_green", "best under budget"),
    "knee": Look("★", "K", "bold yellow", "knee"),
}
_STAIR_STYLE = "green dim"
_WIDEST = 150
_LEAST_PLOT_WIDTH = 16
_LEAST_HEIGHT, _MOST_HEIGHT = 10, 26
_AROUND = 9  # lines of a screen that the plot should leave to its title, axis and legend


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point of the plot, in the units of the axes.

    `kind` names its look; `label` is written beside it, `hint` (a trial's number) where there is much room.
    Marks with `is_on_front` of one `series` are joined by a staircase.
    """

    x: float
    y: float
    kind: MarkKind | str
    label: str = ""
    hint: str = ""
    is_on_front: bool = False
    series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A mark in its place; pinned to the edges that it lies beyond."""

    mark: Mark
    x: float
    y: float
    arrow: str  # the way to where it truly lies, "" inside


class Scatter:
    """Marks on two axes, the front joined by its staircase.

    Fits the width it is given, and by default a height that suits it and the terminal; plain ASCII where the
    terminal cannot show more. The axes show the front well: marks far from it are pinned to the edge, with an
    arrow. `x_limit` and `y_limit` are budgets, drawn as lines.
    """

    def __init__(
        self,
        marks: Sequence[Mark],
        *,
        x: Quantity,
        y: Quantity,
        height: int | None = None,
        x_limit: float | None = None,
        y_limit: float | None = None,
        x_scale: ScaleKind | None = None,
        y_scale: ScaleKind | None = None,
        looks: Mapping[str, Look] = LOOKS,
        stair_styles: Sequence[str] = (_STAIR_STYLE,),
    ) -> None:
        self._marks = tuple(marks)
        self._x_quantity, self._y_quantity = x, y
        self._height = height
        self._x_limit, self._y_limit = x_limit, y_limit
        self._x_scale, self._y_scale = x_scale, y_scale
        self._looks, self._stair_styles = looks, tuple(stair_styles)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._marks:
            yield Text("Nothing to plot yet: no trial has finished.", "dim")
            return
        is_ascii = options.ascii_only
        x_axis, y_axis = self._axes()
        height = self._height or _suitable_height(console, options)
        y_ticks = y_axis.ticks(max(height // 3, 2))
        gutter = max([len(text) for _, text in y_ticks], default=0) + 1
        width = min(options.max_width, _WIDEST) - gutter - 2
        if width < _LEAST_PLOT_WIDTH:
            yield Text("The plot needs a wider terminal.", "dim")
            return
        spots = [self._spot(mark, x_axis, y_axis) for mark in self._marks]
        canvas = Canvas(width, height)
        self._draw(canvas, spots, x_axis, y_axis, is_ascii=is_ascii)
        yield self._head(y_axis, gutter, width, is_ascii=is_ascii)
        yield from _body(canvas, y_ticks, gutter, is_ascii=is_ascii)
        yield from _foot(x_axis.ticks(max(width // 12, 2)), gutter, width, is_ascii=is_ascii)
        title = f"{_title(x_axis, width - 3)} {'->' if is_ascii else '→'}"
        yield Text.assemble(" " * (gutter + 1 + max(width - len(title), 0)), (title, "bold"))
        yield self._legend(spots, x_axis, y_axis, is_ascii=is_ascii)

    def _axes(self) -> tuple[Axis, Axis]:
        # The baseline is on many fronts, far out: it would press all others into a corner.
        core = [
            mark
            for mark in self._marks
            if mark.kind in {"best", "knee", "front"} or (mark.is_on_front and mark.kind != "baseline")
        ]
        x_limits = [self._x_limit] if self._x_limit is not None and self._x_limit > 0 else []
        y_limits = [self._y_limit] if self._y_limit is not None else []
        xs, ys = [mark.x for mark in self._marks], [mark.y for mark in self._marks]
        return (
            Axis.focused(self._x_quantity, [mark.x for mark in core], xs, x_limits, self._x_scale),
            Axis.focused(self._y_quantity, [mark.y for mark in core], ys, y_limits, self._y_scale),
        )

    def _spot(self, mark: Mark, x_axis: Axis, y_axis: Axis) -> _Spot:
        x, y = x_axis.place(mark.x), y_axis.place(mark.y)
        arrow = "▸" if x > 1 else "◂" if x < 0 else "▴" if y > 1 else "▾" if y < 0 else ""
        return _Spot(mark=mark, x=min(max(x, 0.0), 1.0), y=min(max(y, 0.0), 1.0), arrow=arrow)

    def _draw(
        self, canvas: Canvas, spots: Sequence[_Spot], x_axis: Axis, y_axis: Axis, *, is_ascii: bool
    ) -> None:
        if not is_ascii:
            for series, style in enumerate(self._stair_styles):
                self._staircase(canvas, [s for s in spots if s.mark.series == series], style)
        order = list(self._looks)
        ranked = sorted(spots, key=lambda spot: order.index(spot.mark.kind))
        for spot in ranked:
            look = self._looks[spot.mark.kind]
            symbol = spot.arrow or look.symbol
            canvas.symbol(
                spot.x,
                spot.y,
                _ASCII_ARROWS.get(symbol, look.ascii_symbol) if is_ascii else symbol,
                look.style,
            )
        for spot in reversed(ranked):  # the most important label takes its place first
            if spot.mark.label:
                canvas.label(spot.x, spot.y, self._label(spot), self._looks[spot.mark.kind].style)
        self._limits(canvas, x_axis, y_axis, is_ascii=is_ascii)
        for spot in reversed(ranked):
            if spot.mark.hint and not spot.mark.label and not spot.arrow:
                canvas.label(spot.x, spot.y, spot.mark.hint, "bright_black", may_cover=False)

    def _staircase(self, canvas: Canvas, spots: Sequence[_Spot], style: str) -> None:
        """The edge of what the front dominates, from point to point and on to the edges of the plot."""
        stairs = sorted((spot.x, spot.y) for spot in spots if spot.mark.is_on_front)
        if not stairs:
            return
        is_first_up = self._x_quantity.is_fraction  # more is better to the right: the dominated lies left
        worst_y = 0.0 if self._y_quantity.is_fraction else 1.0
        for (x0, y0), (x1, y1) in pairwise(stairs):
            corner = (x0, y1) if is_first_up else (x1, y0)
            canvas.segment((x0, y0), corner, style)
            canvas.segment(corner, (x1, y1), style)
        first, last = stairs[0], stairs[-1]
        if is_first_up:
            canvas.segment(first, (0.0, first[1]), style)
            canvas.segment(last, (last[0], worst_y), style)
        else:
            canvas.segment(first, (first[0], worst_y), style)
            canvas.segment(last, (1.0, last[1]), style)

    def _limits(self, canvas: Canvas, x_axis: Axis, y_axis: Axis, *, is_ascii: bool) -> None:
        if self._x_limit is not None and x_axis.holds(self._x_limit):
            place = x_axis.place(self._x_limit)
            canvas.label(place, 1.0, f"budget {x_axis.text(self._x_limit)}", "red dim")
            canvas.column(place, ":" if is_ascii else "┊", "red dim")
        if self._y_limit is not None and y_axis.holds(self._y_limit):
            place = y_axis.place(self._y_limit)
            text = f"budget {y_axis.text(self._y_limit)}"
            canvas.label(1.0 - (len(text) / 2) / canvas.width, place, text, "red dim")
            canvas.row(place, "-" if is_ascii else "┄", "red dim")

    def _label(self, spot: _Spot) -> str:
        """With the values that the edge hides."""
        label = spot.mark.label
        if spot.arrow in {"▸", "◂"}:
            label += f" {self._x_quantity.text(spot.mark.x)}"
        elif spot.arrow:
            label += f" {self._y_quantity.text(spot.mark.y)}"
        return label

    def _head(self, y_axis: Axis, gutter: int, width: int, *, is_ascii: bool) -> Text:
        title = f"{'^' if is_ascii else '↑'} {_title(y_axis, width - 2)}"
        up, right = self._y_quantity.is_fraction, self._x_quantity.is_fraction
        way = {(True, False): "↖", (True, True): "↗", (False, False): "↙", (False, True): "↘"}[up, right]
        words = f"better {'up' if up else 'down'} and {'right' if right else 'left'}"
        better = words if is_ascii else f"{way} better"
        head = Text.assemble(" " * (gutter + 1), (title, "bold"))
        room = width - len(title) - len(better)
        if room >= 2:
            head.append(" " * room + better, "dim")
        return head

    def _legend(self, spots: Sequence[_Spot], x_axis: Axis, y_axis: Axis, *, is_ascii: bool) -> Flow:
        kinds = {spot.mark.kind for spot in spots if not spot.arrow or spot.mark.label}
        pieces = [
            Text.assemble(
                (look.ascii_symbol if is_ascii else look.symbol, look.style), (f" {look.legend}", "dim")
            )
            for kind, look in reversed(list(self._looks.items()))
            if kind in kinds
        ]
        arrows = sorted({spot.arrow for spot in spots if spot.arrow})
        if arrows:
            count = sum(bool(spot.arrow) for spot in spots)
            symbols = "".join(_ASCII_ARROWS[arrow] if is_ascii else arrow for arrow in arrows)
            pieces.append(Text(f"{symbols} {count} beyond the edge", "dim"))
        for axis, limit in ((x_axis, self._x_limit), (y_axis, self._y_limit)):
            if limit is not None and not axis.holds(limit):
                pieces.append(
                    Text(f"budget {axis.text(limit)} of {axis.quantity.name}: off the plot", "red dim")
                )
        return Flow(pieces)


_ASCII_ARROWS = {"▸": ">", "◂": "<", "▴": "^", "▾": "v"}


def _title(axis: Axis, width: int) -> str:
    """What the axis shows, in as many words as fit."""
    name = axis.quantity.name
    first = name.split(",")[0].split(" on ")[0]
    return next((title for title in (axis.title, name, first) if len(title) <= width), first[:width])


def _suitable_height(console: Console, options: ConsoleOptions) -> int:
    wanted = min(max(6 + min(options.max_width, _WIDEST) // 8, _LEAST_HEIGHT), _MOST_HEIGHT)
    room = console.size.height - _AROUND if console.is_terminal else wanted
    return max(min(wanted, room), _LEAST_HEIGHT)


def _body(
    canvas: Canvas, y_ticks: Sequence[tuple[float, str]], gutter: int, *, is_ascii: bool
) -> RenderResult:
    texts: dict[int, str] = {}
    for place, text in y_ticks:
        if (cell := canvas.cell(0, place)) is not None:
            texts[cell[1]] = text
    tick, plain = ("+", "|") if is_ascii else ("┤", "│")
    for row, line in enumerate(canvas.lines()):
        edge = tick if row in texts else plain
        full = Text.assemble((f"{texts.get(row, ''):>{gutter - 1}} {edge}", "dim"), line, no_wrap=True)
        full.rstrip()
        yield full


def _foot(ticks: Sequence[tuple[float, str]], gutter: int, width: int, *, is_ascii: bool) -> RenderResult:
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
