"""Ctrl-C, and what asks a process to end in other ways, at a moment of our choosing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_waiting: list[int] = []  # signals that are held back now


class Ended(KeyboardInterrupt):
    """The process was asked to end by a signal other than Ctrl-C's; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def endings_interrupt() -> Iterator[None]:
    """Within the block SIGTERM (`kill`, a shutdown) and SIGHUP (a closed terminal) interrupt as Ctrl-C does.

    What is ignored stays so: `nohup` asks for that. After SIGHUP nothing is written to the terminal, which
    would fail.

    Raises: Ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        if number != signal.SIGTERM:
            _write_nowhere(terminals)
        raise Ended(number)

    ours = [number for number in _ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C, and the other signals that would interrupt, until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        _waiting.append(number)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _waiting.clear()
    for number in held[:1]:
        before[number](number, None)


def end_if_asked() -> None:
    """For what may last long within `uninterrupted`, where it may be left all the same.

    Raises: KeyboardInterrupt if a signal is held back.
    """
    if _waiting:
        raise KeyboardInterrupt


def _write_nowhere(descriptors: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
