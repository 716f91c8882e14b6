"""Terminals whose locale has no Unicode: every line goes through a filter of one cell for one cell."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_PLAIN = {
    "µ": "u", "×": "x", "–": "-", "−": "-", "—": "-", "…": "~", "·": ".", "≤": "<", "≥": ">", "≈": "~",
    "←": "<", "→": ">", "↑": "^", "↓": "v", "▲": "^", "▼": "v", "▶": ">", "◂": "<", "▸": ">", "▴": "^",
    "▾": "v", "◁": "<", "▷": ">", "▽": "v", "△": "^", "★": "K", "●": "o", "○": "c", "◉": "*", "◆": "B",
    "□": "u", "•": ".", "✓": "+", "❨": "(", "❩": ")",
    "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "=", "▍": "=", "▎": "-", "▏": "-", "│": "|",
    "┊": ":", "╎": ":", "┄": "-", "╌": "-", "─": "-", "┤": "+", "├": "+", "╞": "+", "└": "+", "┴": "+",
    "┬": "+", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "▔": "-", "▁": "_", "▕": "|",
    "▂": "_", "▃": "_", "▄": "=", "▅": "#", "▆": "#", "▇": "#", "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip


def plain(text: str) -> str:
    """As long as it was; braille dots become points, what is unknown a question mark."""
    if text.isascii():
        return text
    return "".join(
        letter if letter.isascii() else "." if "\u2800" < letter <= "\u28ff" else _PLAIN.get(letter, "?")
        for letter in text
    )


class AsciiFilter(LineFilter):
    def apply(self, segments: list[Segment], _background: Color) -> list[Segment]:
        return [Segment(plain(text), style, control) for text, style, control in segments]
