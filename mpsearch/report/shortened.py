"""Names that are too long for their column."""

from __future__ import annotations


def shortened(name: str, width: int) -> str:
    """The end of a long name tells layers apart: keep it."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]
