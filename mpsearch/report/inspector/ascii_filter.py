"""Terminals whose locale has no Unicode: every line goes through a filter of one cell for one cell."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from mpsearch.report.ascii_letters import ascii_cells


class AsciiFilter(LineFilter):
    def apply(self, segments: list[Segment], _background: Color) -> list[Segment]:
        return [Segment(ascii_cells(text), style, control) for text, style, control in segments]
