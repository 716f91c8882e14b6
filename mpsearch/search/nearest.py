"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'memory'?`, or nothing where no name is near."""
    near = get_close_matches(name[:100], list(known), n=1, cutoff=0.55)
    return f" Did you mean {near[0]!r}?" if near else ""
