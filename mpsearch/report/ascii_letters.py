"""What a terminal without Unicode shows in place of each letter."""

from __future__ import annotations

# One cell for one cell; the symbols of plots as their legends have them.
_CELLS = {
    "µ": "u", "×": "x", "–": "-", "−": "-", "—": "-", "…": "~", "·": ".", "≤": "<", "≥": ">", "≈": "~",
    "←": "<", "→": ">", "↑": "^", "↓": "v", "▲": "^", "▼": "v", "▶": ">", "◂": "<", "▸": ">", "▴": "^",
    "▾": "v", "◁": "<", "▷": ">", "▽": "v", "△": "^", "★": "K", "●": "o", "○": "c", "◉": "*", "◆": "B",
    "□": "u", "■": "#", "•": ".", "✓": "+", "❨": "(", "❩": ")", "’": "'", "“": '"', "”": '"',
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "=", "▍": "=", "▎": "-", "▏": "-", "│": "|",
    "┊": ":", "╎": ":", "┄": "-", "╌": "-", "─": "-", "┤": "+", "├": "+", "╞": "+", "└": "+", "┴": "+",
    "┬": "+", "┼": "+", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "▔": "-", "▁": "_", "▕": "|",
    "▂": "_", "▃": "_", "▄": "=", "▅": "#", "▆": "#", "▇": "#", "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
# Where lines may grow.
_WORDS = {"…": "...", "±": "+-", "≤": "<=", "≥": ">=", "→": "->", "✓": "ok"}


def ascii_cells(text: str) -> str:
    """As long as it was; braille dots become points, what is unknown a question mark."""
    return text if text.isascii() else "".join(map(_cell, text))


def ascii_words(text: str) -> str:
    """As `ascii_cells`, but with what reads better where the length does not matter."""
    return "".join(_WORDS.get(letter) or _cell(letter) for letter in text)


def _cell(letter: str) -> str:
    if letter.isascii():
        return letter
    return "." if "\u2800" < letter <= "\u28ff" else _CELLS.get(letter, "?")
