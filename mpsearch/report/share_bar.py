"""A share of a whole as a bar of letters."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def share_bar(share: float, width: int) -> str:
    """A share of 1 on `width` cells, to an eighth of a cell; anything above 0 leaves a trace."""
    eighths = round(max(min(share, 1.0), 0.0) * width * 8)
    full, part = divmod(max(eighths, 1) if share > 0 else 0, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(width)
