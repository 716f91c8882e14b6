"""Running code of others without a word on the terminal."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any


class _OtherThreadsOnly:
    """A stream that takes what other threads write, such as a live display; what this one writes is lost."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._dropped = threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._dropped else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def silence() -> Iterator[None]:
    """No warning, no log line and nothing printed by this thread."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(_OtherThreadsOnly(sys.stdout)),
            redirect_stderr(_OtherThreadsOnly(sys.stderr)),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
