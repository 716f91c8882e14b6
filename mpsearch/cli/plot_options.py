"""The options of a plot that several commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mpsearch.cli.completion import complete_objective

_PANEL = "Plot"


XAxis = Annotated[
    str | None,
    typer.Option(
        "--x",
        metavar="NAME",
        help="What goes to the right: accuracy, latency, latency_p95, latency_p99, memory, energy, or that "
        "of a further device: latency@pi5.",
        show_default="the first cost searched for",
        rich_help_panel=_PANEL,
        autocompletion=complete_objective,
    ),
]
YAxis = Annotated[
    str | None,
    typer.Option(
        "--y",
        metavar="NAME",
        help="What goes up, likewise.",
        show_default="accuracy, or the loss where that is searched for",
        rich_help_panel=_PANEL,
        autocompletion=complete_objective,
    ),
]
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
