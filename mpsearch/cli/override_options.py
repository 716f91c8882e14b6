"""The overrides that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from mpsearch.cli.completion import complete_override

OVERRIDES_PANEL = "Overrides"

Pin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LAYER=SCHEME",
        help="Layers (a name or a glob) take that scheme. Can be repeated.",
        rich_help_panel=OVERRIDES_PANEL,
        autocompletion=complete_override,
    ),
]
Forbid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LAYER=SCHEME[,SCHEME]",
        help="None of these schemes for the layers. Can be repeated.",
        rich_help_panel=OVERRIDES_PANEL,
        autocompletion=complete_override,
    ),
]
