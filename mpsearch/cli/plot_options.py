"""The options of a plot that several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

_PANEL = "Plot"


class Axis(StrEnum):
    """What an axis of the plot can show."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    MEMORY = "memory"
    ENERGY = "energy"


XAxis = Annotated[
    Axis | None,
    typer.Option(
        "--x", help="What goes to the right; by default the first cost searched for.", rich_help_panel=_PANEL
    ),
]
YAxis = Annotated[Axis, typer.Option("--y", help="What goes up.", rich_help_panel=_PANEL)]
LogX = Annotated[
    bool | None,
    typer.Option(
        "--log-x/--linear-x", help="Scale of --x; by default what suits it.", rich_help_panel=_PANEL
    ),
]
LogY = Annotated[
    bool | None,
    typer.Option(
        "--log-y/--linear-y", help="Scale of --y; of accuracy, that of its error.", rich_help_panel=_PANEL
    ),
]


def scale_of(asked: bool | None) -> Literal["linear", "log"] | None:  # noqa: FBT001 - as typer hands it over
    """The scale that --log-x or --linear-x asks for, None where neither was given."""
    return None if asked is None else "log" if asked else "linear"
