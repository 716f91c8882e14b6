"""How many there are of what lies between two ends, in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"


def histogram_text(
    shares: Sequence[float], width: int, *, inside: float = 1.0, is_ascii: bool = False
) -> Text:
    """At most `width` cells; as high as the greatest share is full, and any share above 0 can be seen.

    `inside`: the part of the way, 0..1, up to which cells are within a budget; those beyond are dim.
    """
    cells = min(width, len(shares))
    if cells < 1:
        return Text()
    sums = [0.0] * cells
    for place, share in enumerate(shares):
        sums[place * cells // len(shares)] += share
    highest = max(sums) or 1.0
    blocks = _ASCII_BLOCKS if is_ascii else _BLOCKS
    text = Text(no_wrap=True)
    for place, share in enumerate(sums):
        level = math.ceil(len(blocks) * share / highest)
        style = "cyan" if (place + 0.5) / cells <= inside else "dim"
        text.append(blocks[level - 1] if level else " ", style)
    return text
