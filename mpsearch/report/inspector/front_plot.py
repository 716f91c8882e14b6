"""The plot as a widget: draws the scene, moves the cursor by clicks and the budgets by dragging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mpsearch.report.inspector.budget_drag import bound_at, bound_of, is_floor
from mpsearch.report.inspector.cells import Cell, strip_of
from mpsearch.report.inspector.palette import DARK, Palette
from mpsearch.report.inspector.plot_picture import (
    Frame,
    Picture,
    drawn_rows,
    frame_of,
    picture_of,
    x_tick_row,
)
from mpsearch.report.inspector.spots import nearest
from mpsearch.report.inspector.view_state import Scene

Grip = Literal["x", "y"]
_GRAB = 1  # cells beside a budget's line that still take hold of it


class FrontPlot(Widget):
    """Shows what `show` was given last; tells the screen what the mouse asked for."""

    DEFAULT_CSS = "FrontPlot { width: 1fr; height: 1fr; }"
    ALLOW_SELECT = False

    @dataclass
    class Picked(Message):
        """A click; the trial nearest to it."""

        number: int

    @dataclass
    class BudgetMoved(Message):
        """A budget's line was dragged to a bound; None: dragged off the axis."""

        name: str
        bound: float | None

    @dataclass
    class TitleClicked(Message):
        """The title of an axis was clicked."""

        axis: Grip

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - the widgets' own name for it
        super().__init__(id=id)
        self._palette: Palette = DARK
        self._scene: Scene | None = None
        self._cursor: int | None = None
        self._marks: tuple[int, ...] = ()
        self._interval: tuple[float, float] | None = None
        self._picture: Picture | None = None
        self._key: object = None
        self._rows: list[list[Cell]] = []
        self._strips: list[Strip] = []
        self._grip: Grip | None = None
        self._held_frame: Frame | None = None

    def show(
        self,
        scene: Scene,
        palette: Palette,
        *,
        cursor: int | None,
        marks: tuple[int, ...],
        interval: tuple[float, float] | None,
    ) -> None:
        self._scene, self._palette = scene, palette
        self._cursor, self._marks, self._interval = cursor, marks, interval
        self._strips = []
        self.refresh()

    @property
    def frame(self) -> Frame | None:
        """Where the body of the plot lies now, None while nothing is drawn."""
        self._draw()
        return None if self._picture is None else self._picture.frame

    @property
    def aspect(self) -> float:
        """Width by height of the body, in equal units of length."""
        frame = self.frame
        return 1.0 if frame is None else frame.width / (2 * frame.height)

    def on_resize(self) -> None:
        self._strips = []

    def render_line(self, y: int) -> Strip:
        self._draw()
        base = self.visual_style.rich_style
        if y >= len(self._strips):
            return Strip.blank(self.size.width, base)
        return self._strips[y].adjust_cell_length(self.size.width, base).apply_style(base)

    def _draw(self) -> None:
        scene = self._scene
        if scene is None or self._strips:
            return
        width, height = self.size
        key = (id(scene), width, height, self._palette.name)
        if key != self._key:
            frame = frame_of(scene, width, height)
            self._picture = None if frame is None else picture_of(scene, frame, self._palette)
            self._key = key
        if self._picture is None:
            self._strips = _message(scene, self._palette, width, height)
            return
        body = drawn_rows(
            scene, self._picture, self._palette,
            cursor=self._cursor, marks=self._marks, interval=self._interval,
        )  # fmt: skip
        self._strips = _strips(scene, self._picture, self._palette, body, width=width, cursor=self._cursor)

    # -- the mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self._scene is None or self.frame is None or event.button != 1:
            return
        frame = self.frame
        column, row = frame.body_cell(event.x, event.y)
        if event.y == 0 or row > frame.height + 1:
            self.post_message(self.TitleClicked("y" if event.y == 0 else "x"))
            return
        self._grip = self._gripped(column, row)
        if self._grip is not None:
            self._held_frame = frame
            self.capture_mouse()
            self._drag(event.x, event.y)
            return
        number = nearest(self._scene.spots, column, row, width=frame.width, height=frame.height)
        if number is not None:
            self.post_message(self.Picked(number))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._grip is not None:
            self._drag(event.x, event.y)

    def on_mouse_up(self, _event: events.MouseUp) -> None:
        if self._grip is not None:
            self._grip = self._held_frame = None
            self.release_mouse()

    def _gripped(self, column: int, row: int) -> Grip | None:
        """What a press takes hold of: an axis itself, or the line of a budget."""
        assert self._picture is not None
        frame = self._picture.frame
        if row >= frame.height:
            return "x"
        if column < 0:
            return "y"
        if self._picture.x_line is not None and abs(column - self._picture.x_line) <= _GRAB:
            return "x"
        if self._picture.y_line is not None and row == self._picture.y_line:
            return "y"
        return None

    def _drag(self, x: int, y: int) -> None:
        """Along the axis as it was when the drag began: an axis that followed its budget would run away."""
        assert self._scene is not None
        assert self._held_frame is not None
        frame = self._held_frame
        column, row = frame.body_cell(x, y)
        if self._grip == "x":
            name, bound = self._scene.x, bound_at(self._scene.x, frame.x_axis, frame.x_place(column))
        else:
            name, bound = self._scene.y, bound_at(self._scene.y, frame.y_axis, frame.y_place(row))
        if bound != bound_of(self._scene.run.budgets, name):
            self.post_message(self.BudgetMoved(name, bound))


def _strips(
    scene: Scene,
    picture: Picture,
    palette: Palette,
    body: list[list[Cell]],
    *,
    width: int,
    cursor: int | None,
) -> list[Strip]:
    frame = picture.frame
    dim, bold = palette.ink("dim"), palette.ink("text", "bold")
    spot = None if cursor is None else scene.spot_of.get(cursor)
    here = (-1, -1) if spot is None else frame.cell_of(spot.x, spot.y)
    budget = palette.ink("budget", "bold")
    strips = [strip_of([(" " * (frame.gutter + 1), ""), ("↑ ", dim), (frame.y_axis.title, bold)])]
    texts = {frame.cell_of(0, place)[1]: text for place, text in frame.y_ticks}
    bounds = scene.run.budgets.bounds()
    for row, cells in enumerate(body):
        text = f"{texts.get(row, ''):>{frame.gutter - 1}} "
        edge = ("┤" if row in texts else "│", dim)
        if row == picture.y_handle:
            edge = (("▶" if scene.y in bounds else ("▴" if is_floor(scene.y) else "▾")), budget)
        elif row == here[1]:
            edge = ("╞" if row in texts else "├", palette.ink("accent"))
        strips.append(strip_of([(text, dim), edge, *cells]))
    notches, ticks = x_tick_row(frame)
    edge_cells: list[Cell] = [(" " * frame.gutter, ""), ("└", dim)]
    for column in range(frame.width):
        if column == picture.x_handle:
            edge_cells.append(("▲" if scene.x in bounds else ("▸" if is_floor(scene.x) else "◂"), budget))
        elif column == here[0]:
            edge_cells.append(("┴", palette.ink("accent")))
        else:
            edge_cells.append(("┬" if column in notches else "─", dim))
    strips += [strip_of(edge_cells), strip_of([(ticks, dim)])]
    title = frame.x_axis.title
    strips.append(strip_of([(" " * max(width - len(title) - 3, 0), ""), (title, bold), (" →", dim)]))
    return strips


def _message(scene: Scene, palette: Palette, width: int, height: int) -> list[Strip]:
    """What is said where there is nothing to draw."""
    if scene.x_axis is not None:
        lines = ["This plot needs more room."]
    elif scene.run.records:
        lines = [
            "No trial has a score yet:",
            f"all {len(scene.run.records)} have failed.",
            "t lists them with their reasons.",
        ]
    else:
        lines = ["No trial has finished yet.", "They appear here as they come."]
    above = max((height - len(lines)) // 2, 0)
    return [
        *[strip_of([("", "")])] * above,
        *(strip_of([(" " * max((width - len(line)) // 2, 0) + line, palette.ink("dim"))]) for line in lines),
    ]
