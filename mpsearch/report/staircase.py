"""The edge of what the trials of a plot reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpsearch.search.objective import Direction

Place = tuple[float, float]


def stairs(
    places: Iterable[Place], *, across: Direction = "minimize", up: Direction = "maximize"
) -> tuple[Place, ...]:
    """The places (x, y) that no other beats, from the best x to the best y, each place once."""
    x_sign, y_sign = (1.0 if across == "minimize" else -1.0), (-1.0 if up == "minimize" else 1.0)
    steps: list[Place] = []
    for x, y in sorted(places, key=lambda place: (x_sign * place[0], -y_sign * place[1])):
        if not steps or y_sign * y > y_sign * steps[-1][1]:
            steps.append((x, y))
    return tuple(steps)


def stair_line(steps: Sequence[Place]) -> tuple[Place, ...]:
    """The line along the stairs: at the height of each step until the next."""
    corners: list[Place] = []
    for x, y in steps:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return tuple(corners)
