"""Finished replays, a line each: a killed benchmark goes on, and a longer one takes them over."""

from __future__ import annotations

import json
from pathlib import Path

from search_replay import Replay

from mpsearch.atomic_file import append_line


class ReplayJournal:
    """Of a file, or of none: then everything is made anew."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def finished(self) -> dict[str, Replay]:
        """Key -> replay; a torn line is left out."""
        if self._path is None or not self._path.exists():
            return {}
        found = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                one = Replay.from_dict(json.loads(line))
            except ValueError:  # a kill while it was written
                continue
            found[one.key] = one
        return found

    def add(self, one: Replay) -> None:
        if self._path is not None:
            append_line(self._path, json.dumps(one.to_dict(), separators=(",", ":")))
