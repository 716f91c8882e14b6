"""A table that leaves out its least important columns where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2  # of it, one cell is the box's own divider


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: title, unit under it, and one cell a row.

    `importance`: columns of the lowest importance go first where width is short; 0 always stays.
    """

    title: str
    unit: str = ""
    cells: Sequence[str | Text]
    importance: int = 0
    justify: JustifyMethod = "right"
    style: str = ""

    @property
    def width(self) -> int:
        return max(cell_len(self.title), cell_len(self.unit), *(_cell_width(cell) for cell in self.cells), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchColumn:
    """The column that takes the width left over, between `least` and `most` cells."""

    title: str
    unit: str = ""
    cells: Callable[[int], Sequence[Text]]
    least: int
    most: int
    justify: JustifyMethod = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """Rows of equal height that fit the width they are given.

    `sections` are the numbers of the rows after which a line is drawn; `row_styles` one style a row.
    """

    columns: Sequence[Column | StretchColumn]
    rows: int
    row_styles: Sequence[str] = ()
    sections: frozenset[int] = field(default_factory=frozenset)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown, stretch = self._fit(options.max_width)
        has_units = any(column.unit for column in shown)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        cells: list[Sequence[str | Text]] = []
        for column in shown:
            is_stretch = isinstance(column, StretchColumn)
            width = stretch if is_stretch else column.width  # type: ignore[union-attr]
            header = Text(column.title, "bold")
            if has_units:
                header.append("\n" + (column.unit if cell_len(column.unit) <= width else ""), "dim not bold")
            table.add_column(
                header,
                justify=column.justify,
                no_wrap=True,
                style="" if is_stretch else column.style,  # type: ignore[union-attr]
                overflow="ellipsis",
                width=width,
            )
            cells.append(column.cells(stretch) if isinstance(column, StretchColumn) else column.cells)
        styles = self.row_styles or [""] * self.rows
        for row in range(self.rows):
            table.add_row(
                *(column[row] for column in cells), style=styles[row], end_section=row in self.sections
            )
        yield table

    def _fit(self, width: int) -> tuple[list[Column | StretchColumn], int]:
        shown = list(self.columns)
        while True:
            fixed = sum(column.width for column in shown if isinstance(column, Column))
            stretches = [column for column in shown if isinstance(column, StretchColumn)]
            left = width - fixed - _GAP * (len(shown) - 1)
            if not stretches:
                least, most = 0, 0
            else:
                least = max(stretches[0].least, cell_len(stretches[0].title))
                most = max(stretches[0].most, least)
            optional = [column for column in shown if isinstance(column, Column) and column.importance]
            if left >= least or not optional:
                return shown, max(min(left, most), least)
            shown.remove(min(optional, key=lambda column: column.importance))


def _cell_width(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)
