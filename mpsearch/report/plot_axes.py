"""Which two objectives a plot shows."""

from __future__ import annotations

from collections.abc import Sequence

from mpsearch.errors import ConfigError
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.objective import COSTS, Objective, all_objectives, first_cost, first_learnt


def plot_axes(
    objectives: Sequence[Objective],
    x: str | None = None,
    y: str | None = None,
    *,
    devices: Sequence[str] = (),
) -> tuple[Objective, Objective]:
    """Across and up; by default what is learnt up, and across the first cost of `objectives` that is not up.

    `devices`: further ones, whose costs an axis may show too.

    Raises: ConfigError if an axis is no objective, or both are the same.
    """
    up = y or first_learnt(objectives).name
    across = x or first_cost([o for o in (*objectives, *COSTS) if o.name != up]).name
    known = all_objectives(devices)
    for axis in (across, up):
        if axis not in known:
            raise ConfigError(
                f"An axis of the plot must be one of {', '.join(known)}; got {axis!r}."
                f"{did_you_mean(axis, known)}"
            )
    if across == up:
        raise ConfigError(f"A plot needs two different axes; got {up} for both. Choose another --x or --y.")
    return known[across], known[up]
