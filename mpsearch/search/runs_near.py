"""Which runs lie near a path that is none."""

from __future__ import annotations

from pathlib import Path


def runs_near(path: Path) -> str:
    """A sentence that names the runs in that folder or beside it, or how to make one."""
    for parent in (path, path.parent):
        if parent.is_dir():
            runs = sorted(entry.parent.name for entry in parent.glob("*/run.json"))
            if runs:
                return f" Runs in {parent}: {', '.join(runs[:10])}."
    return " `mpsearch search` makes one."
