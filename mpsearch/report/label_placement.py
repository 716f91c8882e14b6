"""Where the labels of a plot go so that they cover neither marks nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LETTER = 0.56  # mean width of a letter of a sans-serif face, in font sizes
_HEIGHT = 1.15  # of a line, in font sizes
_GAP = 5.0  # from the middle of a mark to its label


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLabel:
    """A label's text and the left end of its base line, x rightwards and y downwards."""

    text: str
    x: float
    y: float


_Box = tuple[float, float, float, float]


def placed_labels(
    labels: Sequence[tuple[float, float, str]],
    marks: Sequence[tuple[float, float, float]],
    *,
    size: float,
    width: float,
    height: float,
) -> list[PlacedLabel]:
    """Each label beside its point, the most important first; what fits nowhere goes where it covers least.

    `labels` are (x, y, text), `marks` all points as (x, y, half their side), in the unit of `size`, the
    height of the letters, inside of a picture of `width` by `height`.
    """
    taken: list[_Box] = [(x - half, y - half, x + half, y + half) for x, y, half in marks]
    placed = []
    for x, y, text in labels:
        wide, tall = _LETTER * size * len(text), _HEIGHT * size
        gap = _GAP + 0.35 * size
        candidates = [
            (x + gap, y - tall / 2),
            (x - gap - wide, y - tall / 2),
            *((x + dx - wide / 2, y + dy) for dx in (0, wide / 3, -wide / 3) for dy in (gap, -gap - tall)),
            *((x + dx, y + dy * tall) for dy in (1.0, -2.0, 2.2, -3.2) for dx in (gap, -gap - wide)),
        ]
        boxes = [(left, top, left + wide, top + tall) for left, top in candidates]
        best = min(boxes, key=lambda box: _cost(box, taken, width, height))
        taken.append(best)
        placed.append(PlacedLabel(text=text, x=best[0], y=best[3] - 0.28 * tall))
    return placed


def _cost(box: _Box, taken: Sequence[_Box], width: float, height: float) -> float:
    """The area that `box` covers of others, and what lies outside of the picture, ten times."""
    covered = sum(_overlap(box, other) for other in taken)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return covered + 10 * (area - _overlap(box, (0.0, 0.0, width, height)))


def _overlap(a: _Box, b: _Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    return wide * tall if wide > 0 and tall > 0 else 0.0
