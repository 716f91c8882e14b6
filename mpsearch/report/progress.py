"""The view of a running search that suits where it is shown."""

from __future__ import annotations

from rich.console import Console

from mpsearch.report.line_view import LineView
from mpsearch.report.live_view import LiveView


def search_view(console: Console, *, quiet: bool = False) -> LiveView | LineView:
    """Live on a terminal; a line an event in a pipe, a log, or where `quiet` asks for it."""
    return (
        LiveView(console)
        if console.is_terminal and not console.is_dumb_terminal and not quiet
        else LineView(console)
    )
