"""Short pieces of text side by side, on as many lines as they need."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_GAP = 3


class Flow:
    """Breaks lines between pieces, never inside one that fits a line of its own."""

    def __init__(self, pieces: Sequence[Text]) -> None:
        self.pieces = tuple(pieces)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for piece in self.pieces:
            if line and line.cell_len + _GAP + piece.cell_len > options.max_width:
                yield line
                line = Text()
            if line:
                line.append(" " * _GAP)
            line.append_text(piece)
        if line:
            yield line
