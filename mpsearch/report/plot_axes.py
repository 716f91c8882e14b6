"""Which two objectives a plot shows."""

from __future__ import annotations

from collections.abc import Sequence

from mpsearch.errors import ConfigError
from mpsearch.search.objective import COSTS, OBJECTIVES, Objective, first_cost


def plot_axes(
    objectives: Sequence[Objective], x: str | None = None, y: str | None = None
) -> tuple[Objective, Objective]:
    """Across and up; by default accuracy up, and across the first cost of `objectives` that is not up.

    Raises: ConfigError if an axis is no objective, or both are the same.
    """
    up = y or "accuracy"
    across = x or first_cost([o for o in (*objectives, *COSTS) if o.name != up]).name
    for axis in (across, up):
        if axis not in OBJECTIVES:
            raise ConfigError(f"An axis of the plot must be one of {', '.join(OBJECTIVES)}; got {axis!r}.")
    if across == up:
        raise ConfigError(f"A plot needs two different axes; got {up} for both. Choose another --x or --y.")
    return OBJECTIVES[across], OBJECTIVES[up]
