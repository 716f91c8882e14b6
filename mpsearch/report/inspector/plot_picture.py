"""The plot of a scene as cells: what stays while the cursor moves, and the cursor drawn over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rich.text import Text

from mpsearch.report.axis import Axis
from mpsearch.report.broken_rule import broken_rule
from mpsearch.report.canvas import Canvas
from mpsearch.report.inspector.budget_drag import bound_of, is_floor, parked_place
from mpsearch.report.inspector.cells import Cell
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.view_state import MARK_LETTERS, Scene, is_off_scale
from mpsearch.report.landmarks import uniform_name
from mpsearch.report.staircase import stair_line
from mpsearch.search.objective import objective_named

LEAST_WIDTH, LEAST_HEIGHT = 12, 4  # of the plot's body, in cells
_ROWS_AROUND = 4  # title of y above; axis, ticks and title of x below
_TICK_WIDTH, _TICK_HEIGHT = 13, 4  # cells that a tick's text asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the plot's body lies within the widget, and the axes it is drawn on."""

    width: int
    height: int
    gutter: int
    x_axis: Axis
    y_axis: Axis
    y_ticks: tuple[tuple[float, str], ...]

    @property
    def top(self) -> int:
        return 1

    def body_cell(self, column: int, row: int) -> tuple[int, int]:
        """From a cell of the widget to one of the body, which it may lie outside of."""
        return column - self.gutter - 1, row - self.top

    def cell_of(self, x: float, y: float) -> tuple[int, int]:
        """The cell (column, row) of the body that holds a place in 0..1, kept inside of it."""
        column = min(max(int(x * self.width), 0), self.width - 1)
        row = self.height - 1 - min(max(int(y * self.height), 0), self.height - 1)
        return column, row

    def x_place(self, body_column: int) -> float:
        """The middle of a column; the first and last columns reach the ends and beyond."""
        if body_column <= 0:
            return 0.0
        return 1.0 if body_column >= self.width - 1 else (body_column + 0.5) / self.width

    def y_place(self, body_row: int) -> float:
        if body_row <= 0:
            return 1.0
        return 0.0 if body_row >= self.height - 1 else 1 - (body_row + 0.5) / self.height


def frame_of(scene: Scene, width: int, height: int) -> Frame | None:
    """The frame that fits the widget; None if the scene has no axes, or there is no room."""
    if scene.x_axis is None or scene.y_axis is None:
        return None
    body_height = height - _ROWS_AROUND
    y_ticks = tuple(scene.y_axis.ticks(max(body_height // _TICK_HEIGHT, 2)))
    gutter = max((len(text) for _, text in y_ticks), default=0) + 1
    body_width = width - gutter - 2
    if body_width < LEAST_WIDTH or body_height < LEAST_HEIGHT:
        return None
    return Frame(
        width=body_width, height=body_height, gutter=gutter, x_axis=scene.x_axis, y_axis=scene.y_axis,
        y_ticks=y_ticks,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The body without a cursor, rows from the top; the cells where budgets lie and can be taken hold of."""

    frame: Frame
    rows: tuple[tuple[Cell, ...], ...]
    x_line: int | None
    y_line: int | None
    x_handle: int
    y_handle: int
    symbols: Mapping[int, Cell] = field(default_factory=dict)


def symbol_of(scene: Scene, number: int, palette: Palette) -> Cell:
    """How a trial is drawn: its shape says what it is, so that colour is not needed."""
    record = scene.record_of[number]
    if record.is_stopped:
        return "·", palette.ink("dim")
    if record.is_failed:
        return "!", palette.ink("loss")
    if number == scene.knee:
        return "★", palette.ink("knee", "bold")
    if number == scene.best:
        return "◉", palette.ink("best", "bold")
    fits = not scene.run.budgets or number in scene.fitting
    if number in scene.front_numbers:
        return ("●", palette.ink("front")) if fits else ("○", palette.ink("over"))
    if not fits:
        return "×", palette.ink("over")
    scheme = record.policy.uniform_scheme
    if scheme is None:
        return "•", palette.ink("dim")
    return ("◆", palette.ink("baseline")) if scheme.is_full_precision else ("□", palette.ink("uniform"))


def _drawn_symbol(scene: Scene, number: int, palette: Palette) -> Cell:
    """A trial past the end of an axis is drawn there as an arrow."""
    assert scene.x_axis is not None
    assert scene.y_axis is not None
    symbol, style = symbol_of(scene, number, palette)
    record = scene.record_of[number]
    for axis, name, low, high in ((scene.x_axis, scene.x, "◁", "▷"), (scene.y_axis, scene.y, "▽", "△")):
        value = objective_named(name).of(record)
        if is_off_scale(axis, value):
            return (low if axis.place(value) < 0 else high), style
    return symbol, style


def kind_of(scene: Scene, number: int) -> str:
    """The same in words."""
    record = scene.record_of[number]
    if record.is_stopped:
        return record.end
    if record.is_failed:
        return "failed"
    words = []
    if number == scene.knee:
        words.append("knee")
    if number == scene.best:
        words.append("best in budget")
    if (scheme := record.policy.uniform_scheme) is not None:
        words.append(uniform_name(scheme, record.policy.width))
    if broken := broken_rule(scene.run, record):
        words.append(broken)
    return ", ".join(words)


def picture_of(scene: Scene, frame: Frame, palette: Palette) -> Picture:
    """Everything but the cursor, the marks and the tint of the budgets' far side."""
    canvas = Canvas(frame.width, frame.height)
    for start, end in pairwise(stair_line(scene.stairs)):
        canvas.segment(start, end, palette.ink("front", "dim"))
    for spot in scene.hidden_spots:
        canvas.symbol(spot.x, spot.y, "·", palette.ink("faint"))
    symbols = {spot.number: _drawn_symbol(scene, spot.number, palette) for spot in scene.spots}
    drawn = sorted(scene.spots, key=lambda spot: _rank(scene, spot.number))
    for spot in drawn:
        canvas.symbol(spot.x, spot.y, *symbols[spot.number])
    labels = _labels(scene)
    for spot in reversed(drawn):  # the most important label takes its place first
        if spot.number in labels:
            canvas.label(spot.x, spot.y, labels[spot.number], symbols[spot.number][1])
    rows = tuple(tuple(_cells(line)) for line in canvas.lines())
    x_bound, y_bound = bound_of(scene.run.budgets, scene.x), bound_of(scene.run.budgets, scene.y)
    x_place = parked_place(scene.x) if x_bound is None else frame.x_axis.place(x_bound)
    y_place = parked_place(scene.y) if y_bound is None else frame.y_axis.place(y_bound)
    x_handle, y_handle = frame.cell_of(x_place, y_place)
    return Picture(
        frame=frame, rows=rows, symbols=symbols, x_handle=x_handle, y_handle=y_handle,
        x_line=x_handle if x_bound is not None and 0 <= x_place <= 1 else None,
        y_line=y_handle if y_bound is not None and 0 <= y_place <= 1 else None,
    )  # fmt: skip


def drawn_rows(
    scene: Scene,
    picture: Picture,
    palette: Palette,
    *,
    cursor: int | None,
    marks: Sequence[int],
    interval: tuple[float, float] | None,
) -> list[list[Cell]]:
    """The body with budgets, cross hair, the spread of the score under the cursor, and marks."""
    frame = picture.frame
    rows = [list(row) for row in picture.rows]
    _tint(scene, picture, palette, rows)
    spot = None if cursor is None else scene.spot_of.get(cursor)
    if spot is not None:
        column, row = frame.cell_of(spot.x, spot.y)
        hair = palette.ink("faint")
        for across in range(column):
            _behind(rows, across, row, "╌", hair)
        for down in range(row + 1, frame.height):
            _behind(rows, column, down, "╎", hair)
        if interval is not None and scene.y == "accuracy":
            top, bottom = (frame.cell_of(0, frame.y_axis.place(v))[1] for v in (interval[1], interval[0]))
            for line in range(top, bottom + 1):
                symbol = rows[line][column][0]
                if line != row and (symbol in " ╎┄" or _is_dots(symbol)):
                    rows[line][column] = ("│", palette.ink("accent"))
    marked_cells = set()
    for letter, number in zip(MARK_LETTERS, marks, strict=False):
        if (marked := scene.spot_of.get(number)) is not None:
            column, row = frame.cell_of(marked.x, marked.y)
            rows[row][column] = (letter, mark_ink(palette, letter))
            marked_cells.add((column, row))
    if spot is not None:
        column, row = frame.cell_of(spot.x, spot.y)
        is_marked = (column, row) in marked_cells
        here = rows[row][column] if is_marked else picture.symbols.get(spot.number, ("·", ""))
        rows[row][column] = (here[0], palette.ink("accent", "bold", "reverse"))
        ink = palette.ink("accent", "bold")
        if column > 0:
            rows[row][column - 1] = ("❨", ink)
        if column + 1 < frame.width:
            rows[row][column + 1] = ("❩", ink)
    return rows


def mark_ink(palette: Palette, letter: str) -> str:
    return palette.ink("mark_a" if letter == "A" else "mark_b", "bold")


def x_tick_row(frame: Frame) -> tuple[list[int], str]:
    """The columns of the body with a notch, and the line of texts below them, gutter included."""
    ticks = frame.x_axis.ticks(max(frame.width // _TICK_WIDTH, 2))
    texts = [" "] * (frame.gutter + frame.width + 2)
    notches, free_from = [], 0
    for place, text in ticks:
        column = min(int(place * frame.width), frame.width - 1)
        start = max(min(frame.gutter + 1 + column - len(text) // 2, len(texts) - len(text)), 0)
        if start < free_from:
            continue
        notches.append(column)
        texts[start : start + len(text)] = text
        free_from = start + len(text) + 2
    return notches, "".join(texts)


def budget_label(axis: Axis, name: str, scene: Scene) -> str:
    bound = bound_of(scene.run.budgets, name)
    return "" if bound is None else f"{'≥' if is_floor(name) else '≤'} {axis.text(bound)}"


def _tint(scene: Scene, picture: Picture, palette: Palette, rows: list[list[Cell]]) -> None:
    """The lines of the budgets, and what lies past them on a darker ground."""
    frame = picture.frame
    budgets = scene.run.budgets
    past_x = _past(scene.x, bound_of(budgets, scene.x), frame.x_axis, frame.width)
    past_y = _past(scene.y, bound_of(budgets, scene.y), frame.y_axis, frame.height)
    if palette.has_colour and (past_x or past_y):
        ground = f" on {palette.over_background}"
        for row, cells in enumerate(rows):
            whole = frame.height - 1 - row in past_y
            for column in range(frame.width) if whole else past_x:
                symbol, style = cells[column]
                cells[column] = (symbol, ground if style in {"", "none"} else style + ground)
    ink = palette.ink("budget")
    if picture.x_line is not None:
        for row in range(frame.height):
            _behind(rows, picture.x_line, row, "┊", ink)
        label = budget_label(frame.x_axis, scene.x, scene)
        beside = (picture.x_line + 1, picture.x_line - len(label))
        _write(rows, [(column, row) for row in range(frame.height) for column in beside], label, ink)
    if picture.y_line is not None:
        for column in range(frame.width):
            _behind(rows, column, picture.y_line, "┄", ink)
        label = budget_label(frame.y_axis, scene.y, scene)
        starts = range(frame.width - len(label), 0, -1)
        _write(rows, [(column, picture.y_line) for column in starts], label, ink)


def _past(name: str, bound: float | None, axis: Axis, cells: int) -> range:
    """Cells along an axis, from its start, that a bound rules out as a whole."""
    if bound is None:
        return range(0)
    edge = min(max(axis.place(bound) * cells, 0), cells)
    return range(int(edge)) if is_floor(name) else range(int(edge) + 1, cells)


def _write(rows: list[list[Cell]], starts: Sequence[tuple[int, int]], text: str, style: str) -> None:
    """At the first of the places (column, row) where it covers nothing but lines; else nowhere."""
    for column, row in starts:
        cells = rows[row][max(column, 0) : column + len(text)]
        if column >= 0 and len(cells) == len(text) and all(symbol in " ┄┊" for symbol, _ in cells):
            rows[row][column : column + len(text)] = [
                (letter, _over(style, ground)) for letter, (_, ground) in zip(text, cells, strict=True)
            ]
            return


def _over(style: str, ground: str) -> str:
    """A style on the ground that another one has."""
    kept = ground.partition(" on ")[2]
    return f"{style} on {kept}" if kept else style


def _behind(rows: list[list[Cell]], column: int, row: int, symbol: str, style: str) -> None:
    if rows[row][column][0] == " ":
        rows[row][column] = (symbol, _over(style, rows[row][column][1]))


def _is_dots(symbol: str) -> bool:
    return "\u2800" <= symbol <= "\u28ff"


def _cells(line: Text) -> list[Cell]:
    cells = [(letter, "") for letter in line.plain]
    for start, end, style in line.spans:
        for place in range(start, end):
            cells[place] = (cells[place][0], str(style))
    return cells


def _rank(scene: Scene, number: int) -> int:
    """The last drawn covers the others."""
    record = scene.record_of[number]
    if number == scene.knee:
        return 6
    if number == scene.best:
        return 5
    if number in scene.front_numbers:
        return 4
    if scene.run.budgets and number not in scene.fitting:
        return 0
    scheme = record.policy.uniform_scheme
    return 1 if scheme is None else 3 if scheme.is_full_precision else 2


def _labels(scene: Scene) -> dict[int, str]:
    """Names of the shown landmarks; each uniform policy once, at the first trial of it."""
    labels: dict[int, str] = {}
    named: set[str] = set()
    for record in scene.run.records:
        scheme = record.policy.uniform_scheme
        name = "" if scheme is None else uniform_name(scheme, record.policy.width)
        if name and record.is_complete and name not in named:
            named.add(name)
            labels[record.number] = name
    if scene.best is not None:
        labels[scene.best] = "best"
    if scene.knee is not None:
        labels[scene.knee] = "knee"
    return labels
