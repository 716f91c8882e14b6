"""A grid of terminal cells that holds braille dots, symbols and text."""

from __future__ import annotations

from rich.text import Text

# Bit of the braille pattern for the dot at (column, row) of a 2 x 4 cell.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800
_COVERED = 3  # what covering one cell of dots costs a label, in places further down its list


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
                self._behind(cell[0], row, symbol, style)

    def row(self, y: float, symbol: str, style: str) -> None:
        """A horizontal line behind everything already drawn."""
        if (cell := self.cell(0, y)) is not None:
            for column in range(self.width):
                self._behind(column, cell[1], symbol, style)

    def _behind(self, column: int, row: int, symbol: str, style: str) -> None:
        if self._symbols[row][column] is None and not self._dots[row][column]:
            self._symbols[row][column] = (symbol, style)

    def label(self, x: float, y: float, text: str, style: str, *, may_cover: bool = True) -> bool:
        """Write near the cell at x, y, where no symbol and as few dots as possible are covered.

        False if nowhere; without `may_cover`, also where only dots would be.
        """
        if (cell := self.cell(x, y)) is None:
            return False
        column, row = cell
        size = len(text)
        right, left, centre = column + 2, column - 1 - size, column - size // 2
        places = [(right, row), (left, row)]
        for away in (1, 2) if may_cover else (1,):
            for line in (row - away, row + away):
                places += [(right - 1, line), (left + 1, line), (centre, line)]
        best: tuple[int, int, int] | None = None
        for rank, (start, line) in enumerate(places):
            covered = self._covered(start, line, size)
            if covered is None or (covered and not may_cover):
                continue
            cost = rank + _COVERED * covered
            if best is None or cost < best[0]:
                best = (cost, start, line)
        if best is None:
            return False
        self.write(best[1], best[2], text, style)
        return True

    def write(self, column: int, row: int, text: str, style: str) -> None:
        """Text that begins in that cell; what does not fit is cut."""
        for offset, letter in enumerate(text):
            if 0 <= column + offset < self.width and 0 <= row < self.height:
                self._symbols[row][column + offset] = (letter, style)

    def _covered(self, left: int, row: int, size: int) -> int | None:
        """How many cells with dots such a label would cover; None where it must not stand."""
        if left < 0 or left + size > self.width or not 0 <= row < self.height:
            return None
        around = range(max(left - 1, 0), min(left + size + 1, self.width))
        if any(self._symbols[row][column] is not None for column in around):
            return None
        return sum(bool(self._dots[row][column]) for column in range(left, left + size))

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
