"""Rows at the bottom of a terminal that change in place; what is printed meanwhile stays above them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO, cast

from rich.console import Console, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment

Row = Sequence[Segment]
Draw = Callable[[int, int], Sequence[Row]]

_REFRESH_S = 0.25
_MARGIN = 1  # a full last column leaves the cursor in limbo: what erases behind it erases that column too

# Terminals that know this mode (DEC private mode 2026) show a frame at once; the others ignore it.
_HOLD, _SHOW = "\x1b[?2026h", "\x1b[?2026l"


class LiveScreen(RenderHook):
    """Asks `draw(width, height)` for the rows, four times a second, and writes those that changed.

    A row that is the same object or equal is not written again, so a frame costs what has changed. Rows must
    fit the width, and there must be no more than `height` of them. The cursor rests below the rows: what a
    user types shows there and is gone at the end.
    """

    def __init__(self, console: Console, draw: Draw, *, refresh_s: float = _REFRESH_S) -> None:
        self._console = console
        self._draw = draw
        self._refresh_s = refresh_s
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._size = (0, 0)
        self._is_stale = False
        self._frame: list[Segment] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._proxied: dict[str, TextIO] = {}

    def start(self) -> None:
        self._console.show_cursor(False)
        for name in ("stdout", "stderr"):
            stream: TextIO = getattr(sys, name)
            if stream.isatty() and not isinstance(stream, FileProxy):
                self._proxied[name] = stream
                setattr(sys, name, cast("TextIO", FileProxy(self._console, stream)))
        self._console.push_render_hook(self)
        self.refresh()
        self._thread = threading.Thread(target=self._keep_fresh, name="live screen", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Erase the rows, and leave the terminal as it was found."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for name, stream in self._proxied.items():
            getattr(sys, name).flush()
            setattr(sys, name, stream)
        with self._lock:
            with suppress(IndexError):  # never started
                self._console.pop_render_hook()
            self._write(self._erased())
            self._rows = []
        self._console.show_cursor(True)

    def refresh(self) -> None:
        """Draw now."""
        with self._lock:
            size = self._console.size
            width, height = size.width - _MARGIN, size.height - 1
            rows = list(self._draw(width, height))
            if (size.width, size.height) != self._size:
                frame = [*self._erased(size.width, size.height), *_lines(rows)]
            elif self._is_stale or len(rows) != len(self._rows):
                frame = [*self._erased(), *_lines(rows)]
            else:
                frame = self._changes(rows)
            self._rows, self._size, self._is_stale = rows, (size.width, size.height), False
            if frame:
                self._write(frame)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Called by the console for whatever anyone prints: it goes above the rows."""
        with self._lock:
            if self._frame is not None:
                return renderables
            # Between here and the writing a frame may slip in: the next one is written whole.
            self._is_stale = True
            return [_Raw(self._erased()), *renderables, _Raw(_lines(self._rows))]

    def _keep_fresh(self) -> None:
        while not self._stopping.wait(self._refresh_s):
            self.refresh()

    def _changes(self, rows: Sequence[Row]) -> list[Segment]:
        """From below the rows and back there, over each row that is another one now."""
        changed: list[Segment] = []
        at = len(rows)
        for place, (row, before) in enumerate(zip(rows, self._rows, strict=True)):
            if row is not before and row != before:
                changed += [_move(place - at), *row, _ERASE_REST, _RETURN]
                at = place
        # What is typed moves the cursor along its row.
        return [_RETURN, *changed, _move(len(rows) - at)] if changed else []

    def _erased(self, width: int | None = None, height: int | None = None) -> list[Segment]:
        """Up to the first row, and nothing below it.

        A narrower terminal has wrapped the rows, a shorter one has moved the first out of reach.
        """
        up = len(self._rows)
        if width is not None and width < self._size[0]:
            lengths = [sum(segment.cell_length for segment in row) for row in self._rows]
            up = sum(max(-(-length // width), 1) for length in lengths)
        if height is not None:
            up = min(up, height - 1)
        return [_RETURN, _move(-up), _ERASE_BELOW] if self._rows else []

    def _write(self, frame: list[Segment]) -> None:
        self._frame = frame
        try:
            self._console.print(_Raw([_code(_HOLD), *frame, _code(_SHOW)]), end="", crop=False)
        finally:
            self._frame = None


class _Raw:
    """Segments as they are."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments

    def __rich_console__(self, *_: object) -> RenderResult:
        yield from self._segments


def _code(text: str) -> Segment:
    """An escape sequence; Rich asks for a kind, which only old Windows consoles look at."""
    return Segment(text, None, [(ControlType.CARRIAGE_RETURN,)])


def _move(rows: int) -> Segment:
    return Control.move(0, rows).segment


_RETURN = Control(ControlType.CARRIAGE_RETURN).segment
_ERASE_REST = Control((ControlType.ERASE_IN_LINE, 0)).segment
_ERASE_BELOW = _code("\x1b[J")


def _lines(rows: Sequence[Row]) -> list[Segment]:
    return [part for row in rows for part in (*row, _ERASE_REST, Segment.line())]
