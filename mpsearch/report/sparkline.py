"""A series of numbers in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"


def sparkline(values: Sequence[float], width: int, *, is_ascii: bool = False) -> str:
    """At most `width` cells, the mean of neighbours where there are more values; low is low.

    Numbers that are not finite are left out.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or width < 1:
        return ""
    cells = min(width, len(finite))
    edges = [round(cell * len(finite) / cells) for cell in range(cells + 1)]
    means = [sum(finite[start:end]) / (end - start) for start, end in pairwise(edges)]
    low, high = min(means), max(means)
    blocks = _ASCII_BLOCKS if is_ascii else _BLOCKS
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((mean - low) * scale)] for mean in means)
