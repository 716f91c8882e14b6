"""The view of a running search that suits where it is shown."""

from __future__ import annotations

from rich.console import Console

from mpsearch.report.json_lines import JsonLines
from mpsearch.report.line_view import LineView
from mpsearch.report.live_view import LiveView


def search_view(
    console: Console, *, quiet: bool = False, json_lines: bool = False
) -> LiveView | LineView | JsonLines:
    """Live on a terminal; a line an event in a pipe, a log, or where `quiet` asks for it.

    `json_lines`: objects for machines on standard output, whatever `console` is.
    """
    if json_lines:
        return JsonLines(console)
    can_redraw = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    return LiveView(console) if can_redraw and not quiet else LineView(console)
