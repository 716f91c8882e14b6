"""A grid of terminal cells that holds braille dots, symbols and text."""

from __future__ import annotations

from rich.text import Text

# Bit of the braille pattern for the dot at (column, row) of a 2 x 4 cell.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800


class Canvas:
    """`width` x `height` cells, each 2 x 4 dots. Later drawing covers earlier drawing.

    Coordinates are 0..1 with (0, 0) at the lower left; what falls outside is not drawn.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._dot_style = [[""] * width for _ in range(height)]
        self._symbols: list[list[tuple[str, str] | None]] = [[None] * width for _ in range(height)]

    def cell(self, x: float, y: float) -> tuple[int, int] | None:
        """(column, row from the top) of the cell at x, y."""
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return None
        column = min(int(x * self.width), self.width - 1)
        return column, self.height - 1 - min(int(y * self.height), self.height - 1)

    def dot(self, x: float, y: float, style: str) -> None:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return
        column = min(int(x * self.width * 2), self.width * 2 - 1)
        row = self.height * 4 - 1 - min(int(y * self.height * 4), self.height * 4 - 1)
        self._dots[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
        self._dot_style[row // 4][column // 2] = style

    def segment(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """A line of dots from start to end."""
        (x0, y0), (x1, y1) = start, end
        steps = max(round(abs(x1 - x0) * self.width * 2), round(abs(y1 - y0) * self.height * 4), 1)
        for step in range(steps + 1):
            along = step / steps
            self.dot(x0 + (x1 - x0) * along, y0 + (y1 - y0) * along, style)

    def symbol(self, x: float, y: float, symbol: str, style: str) -> None:
        if (cell := self.cell(x, y)) is not None:
            self._symbols[cell[1]][cell[0]] = (symbol, style)

    def column(self, x: float, symbol: str, style: str) -> None:
        """A vertical line behind everything already drawn."""
        if (cell := self.cell(x, 0)) is not None:
            for row in range(self.height):
                if self._symbols[row][cell[0]] is None and not self._dots[row][cell[0]]:
                    self._symbols[row][cell[0]] = (symbol, style)

    def label(self, x: float, y: float, text: str, style: str) -> bool:
        """Write beside the cell at x, y where nothing but dots would be covered; False if nowhere."""
        if (cell := self.cell(x, y)) is None:
            return False
        column, row = cell
        beside = ((column + 2, row), (column - 1 - len(text), row))
        near = tuple((c, r) for r in (row - 1, row + 1) for c in (column + 1, column - len(text)))
        for covers_dots in (False, True):
            for left, line in beside + near:
                if self._is_free(left, line, len(text), covers_dots=covers_dots):
                    for offset, letter in enumerate(text):
                        self._symbols[line][left + offset] = (letter, style)
                    return True
        return False

    def _is_free(self, left: int, row: int, length: int, *, covers_dots: bool) -> bool:
        if left < 1 or left + length > self.width or not 0 <= row < self.height:
            return False
        around = range(max(left - 1, 0), min(left + length + 1, self.width))
        if any(self._symbols[row][c] is not None for c in around):
            return False
        return covers_dots or not any(self._dots[row][c] for c in range(left, left + length))

    def lines(self) -> list[Text]:
        """Top row first, each exactly `width` cells."""
        rows = []
        for symbols, dots, styles in zip(self._symbols, self._dots, self._dot_style, strict=True):
            line = Text(no_wrap=True)
            for symbol, pattern, style in zip(symbols, dots, styles, strict=True):
                if symbol is not None:
                    line.append(*symbol)
                elif pattern:
                    line.append(chr(_BRAILLE + pattern), style)
                else:
                    line.append(" ")
            rows.append(line)
        return rows
