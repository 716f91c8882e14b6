"""Where trials lie in the plot, and which one a key or a click means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down"]
_CELL_ASPECT = 2.0  # a terminal's cell is about twice as high as wide
_SIDEWAYS = 2.0  # moving up or down, a step to the side counts this much more
_FRONT_REACH = 1.5  # a click this many cells nearer to another trial still means the one on the front


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One trial at (x, y) in 0..1, (0, 0) at the lower left."""

    number: int
    x: float
    y: float
    is_on_front: bool


def walk_order(spots: Iterable[Spot]) -> tuple[int, ...]:
    """Trial numbers from left to right; those in one column from the bottom up."""
    return tuple(spot.number for spot in sorted(spots, key=lambda s: (s.x, s.y, s.number)))


def stepped(spots: Sequence[Spot], order: Sequence[int], current: int | None, by: int) -> int | None:
    """The trial `by` places further in `order`, which ends at its ends.

    From a trial that is not in `order` the first step is to the nearest one on that side.
    """
    if not order:
        return current
    if current in order:
        place = order.index(current) + by
        return order[max(0, min(place, len(order) - 1))]
    here = next((spot for spot in spots if spot.number == current), None)
    if here is None:
        return order[0] if by > 0 else order[-1]
    places = {spot.number: (spot.x, spot.y) for spot in spots}
    before = [number for number in order if places[number] <= (here.x, here.y)]
    after = order[len(before) :]
    if by > 0:
        return after[min(by, len(after)) - 1] if after else order[-1]
    return before[max(len(before) + by, 0)] if before else order[0]


def beside(spots: Sequence[Spot], current: int, direction: Direction, *, aspect: float) -> int:
    """The nearest trial above or below; the current one where there is none.

    `aspect`: width by height of the plot, in equal units of length.
    """
    here = next((spot for spot in spots if spot.number == current), None)
    if here is None:
        return current
    sign = 1 if direction == "up" else -1
    reached: list[tuple[float, int, int]] = []
    for spot in spots:
        up, later = sign * (spot.y - here.y), sign * (spot.number - current)
        # Trials at one and the same place are passed in the order of their numbers.
        if up > 0 or (up == 0 and spot.x == here.x and later > 0):
            distance = math.hypot(up, _SIDEWAYS * aspect * (spot.x - here.x))
            reached.append((distance, later, spot.number))
    return min(reached)[2] if reached else current


def nearest(spots: Sequence[Spot], column: float, row: float, *, width: int, height: int) -> int | None:
    """The trial nearest to a cell of the plot, a little in favour of the front. None without trials.

    `row` counts from the top.
    """
    best, least = None, math.inf
    for spot in spots:
        across = spot.x * width - (column + 0.5)
        down = ((1 - spot.y) * height - (row + 0.5)) * _CELL_ASPECT
        distance = math.hypot(across, down) - (_FRONT_REACH if spot.is_on_front else 0.0)
        if distance < least:
            best, least = spot.number, distance
    return best
