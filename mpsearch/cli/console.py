"""The terminal that the commands write to."""

from __future__ import annotations

import codecs
import json
import os
import sys
from typing import Any, TextIO

from rich.console import Console

from mpsearch.report.ascii_letters import ascii_words

_HANDLER = "mpsearch-plain"
_PIPE_WIDTH = 120  # of a pipe or a file, which have none


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_words(error.object[error.start : error.end]), error.end


def _writable(stream: TextIO) -> TextIO:
    """`stream`, told to replace what its encoding lacks instead of failing on it."""
    reconfigure = getattr(stream, "reconfigure", None)
    if (
        reconfigure is not None
        and (getattr(stream, "encoding", None) or "").lower().replace("-", "") != "utf8"
    ):
        codecs.register_error(_HANDLER, _plain)
        reconfigure(errors=_HANDLER)
    return stream


def output() -> Console:
    """Standard output: answers. Colour and width follow the terminal (NO_COLOR, COLUMNS are honoured)."""
    stream = _writable(sys.stdout)
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=stream, highlight=False, width=width)


def print_json(document: dict[str, Any]) -> None:
    """One JSON object on standard output, indented, and nothing else."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def messages() -> Console:
    """Standard error: progress, warnings, errors; so that `--json` leaves standard output clean."""
    return Console(file=_writable(sys.stderr), highlight=False)
