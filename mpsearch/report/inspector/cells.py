"""Pieces of a line with a style each, and the strip that the terminal is given of them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Cell = tuple[str, str]  # characters, mostly one, and their Rich style


def strip_of(cells: Iterable[Cell]) -> Strip:
    """The cells side by side; neighbours of one style become one segment."""
    segments: list[Segment] = []
    text, style = "", ""
    for symbols, its in cells:
        if its == style:
            text += symbols
            continue
        if text:
            segments.append(Segment(text, Style.parse(style)))
        text, style = symbols, its
    if text:
        segments.append(Segment(text, Style.parse(style)))
    return Strip(segments)
