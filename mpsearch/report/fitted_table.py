"""A table that leaves out its least important columns where the terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from mpsearch.report.facts_grid import paragraph

_PLAIN_BOX = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_GAP = 2  # of it, one cell is the box's own divider
_LEAST_STRETCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: title, unit under it, and one cell a row.

    `importance`: columns of the lowest importance go first where width is short; 0 always stays.
    `narrow_title` takes the title's place where even those that stay do not fit.
    """

    title: str
    unit: str = ""
    cells: Sequence[str | Text]
    importance: int = 0
    justify: JustifyMethod = "right"
    style: str = ""
    narrow_title: str | None = None

    @property
    def width(self) -> int:
        return max(cell_len(self.title), self._least)

    @property
    def narrow_width(self) -> int:
        return max(cell_len(self.title if self.narrow_title is None else self.narrow_title), self._least)

    @property
    def _least(self) -> int:
        return max(cell_len(self.unit), *(_cell_width(cell) for cell in self.cells), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchColumn:
    """The column that takes the width left over, between `least` and `most` cells.

    `cells` and `unit` are given the width, as `used` leaves it. Where nothing else can go, it shrinks below
    `least`.
    """

    title: str
    unit: str | Callable[[int], str] = ""
    cells: Callable[[int], Sequence[RenderableType]]
    least: int
    most: int
    used: Callable[[int], int] = lambda width: width
    justify: JustifyMethod = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """Rows of equal height that fit the width they are given.

    `sections` are the numbers of the rows after which a line is drawn; `row_styles` one style a row.
    With `tells_hidden`, a last line names the columns that did not fit.
    """

    columns: Sequence[Column | StretchColumn]
    rows: int
    row_styles: Sequence[str] = ()
    sections: frozenset[int] = field(default_factory=frozenset)
    tells_hidden: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown, stretch, is_narrow = self._fit(options.max_width)
        for column in shown:
            if isinstance(column, StretchColumn):
                stretch = max(column.used(stretch), min(cell_len(column.title), stretch))
        units = [_unit(column, stretch) for column in shown]
        gap = _GAP - 1 if is_narrow else _GAP
        table = Table(
            box=_PLAIN_BOX if options.ascii_only else box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, gap - 1, 0, 0),
        )
        cells: list[Sequence[RenderableType]] = []
        for column, unit in zip(shown, units, strict=True):
            if isinstance(column, Column):
                width = column.narrow_width if is_narrow else column.width
                title = column.narrow_title if is_narrow and column.narrow_title is not None else column.title
                style = column.style
                cells.append(column.cells)
            else:
                width, style = stretch, ""
                title = column.title if cell_len(column.title) <= width else ""
                cells.append(column.cells(stretch))
            header = Text(title, "bold")
            if any(units):
                header.append("\n" + (unit if cell_len(unit) <= width else ""), "dim not bold")
            table.add_column(
                header, justify=column.justify, no_wrap=True, style=style, overflow="ellipsis", width=width
            )
        styles = self.row_styles or [""] * self.rows
        for row in range(self.rows):
            values = (column[row] for column in cells)
            table.add_row(
                *(Text(value) if isinstance(value, str) else value for value in values),  # no markup
                style=styles[row],
                end_section=row in self.sections,
            )
        for line in console.render_lines(table, options, pad=False):
            yield from _without_trailing_spaces(line)
            yield Segment.line()
        if self.tells_hidden and (hidden := self._hidden(shown)):
            told = f"not shown at {options.max_width} columns: {', '.join(hidden)}"
            yield paragraph((told, "dim italic"))

    def _hidden(self, shown: Sequence[Column | StretchColumn]) -> list[str]:
        there = {column.title for column in shown}
        return list(dict.fromkeys(c.title for c in self.columns if c.title and c.title not in there))

    def _fit(self, width: int) -> tuple[list[Column | StretchColumn], int, bool]:
        """The columns that fit, the width of the one that stretches, and whether all had to be narrowed."""
        shown = list(self.columns)
        stretches = [column for column in shown if isinstance(column, StretchColumn)]
        least = max(stretches[0].least, cell_len(stretches[0].title)) if stretches else 0
        most = max(stretches[0].most, least) if stretches else 0
        while True:
            left = width - sum(c.width for c in shown if isinstance(c, Column)) - _GAP * (len(shown) - 1)
            optional = [column for column in shown if isinstance(column, Column) and column.importance]
            if left >= least:
                return shown, min(left, most), False
            if not optional:
                break
            shown.remove(min(optional, key=lambda column: column.importance))
        if stretches and left >= min(stretches[0].least, cell_len(stretches[0].title)):
            return shown, left, False
        left = width - sum(c.narrow_width for c in shown if isinstance(c, Column)) - (len(shown) - 1)
        return shown, max(min(left, most), _LEAST_STRETCH), True


def _unit(column: Column | StretchColumn, stretch: int) -> str:
    return column.unit if isinstance(column.unit, str) else column.unit(stretch)


def _without_trailing_spaces(line: list[Segment]) -> list[Segment]:
    """Spaces that nobody sees make copied text and files wider than what they say."""
    kept = list(line)
    while kept and not kept[-1].text.strip(" ") and not (kept[-1].style and kept[-1].style.bgcolor):
        kept.pop()
    if kept and not (kept[-1].style and kept[-1].style.bgcolor):
        kept[-1] = Segment(kept[-1].text.rstrip(" "), kept[-1].style, kept[-1].control)
    return kept


def _cell_width(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)
