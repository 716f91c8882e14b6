"""The run that most commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.completion import complete_run

RunArgument = Annotated[
    Path,
    typer.Argument(
        help="A run folder, finished or still searching.", show_default=False, autocompletion=complete_run
    ),
]
