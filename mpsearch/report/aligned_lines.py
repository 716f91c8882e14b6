"""Short cells in columns, and after them a text that wraps under its own beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 2
_LEAST_TEXT = 20


@dataclass(frozen=True, slots=True)
class AlignedLines:
    """Rows of as many cells; all but the last are as wide as their column. No spaces at the ends of lines.

    Where less than a few words would fit beside the cells, the text stands below them. `widths`: the least
    width of each column; `justify`: one letter a column, `l` or `r`.
    """

    rows: Sequence[Sequence[Text]]
    widths: Sequence[int] = ()
    justify: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = len(self.rows[0]) - 1 if self.rows else 0
        least = [*self.widths, *[0] * columns][:columns]
        widths = [max(least[c], *(row[c].cell_len for row in self.rows)) for c in range(columns)]
        indent = sum(widths) + _GAP * columns
        is_below = options.max_width - indent < _LEAST_TEXT
        if is_below:
            indent = widths[0] + 2 * _GAP if columns else 0
        for row in self.rows:
            head = Text()
            for place, (cell, width) in enumerate(zip(row, widths, strict=False)):
                padding = " " * (width - cell.cell_len)
                is_right = self.justify[place : place + 1] == "r"
                head.append_text(Text.assemble(padding, cell) if is_right else Text.assemble(cell, padding))
                head.append(" " * _GAP)
            lines = row[-1].wrap(console, max(options.max_width - indent, 1))
            if is_below or not lines:
                head.rstrip()
                yield head
            for number, line in enumerate(lines):
                line.rstrip()
                begins = number == 0 and not is_below
                yield Text.assemble(head if begins else " " * indent, line)
