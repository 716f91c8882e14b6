"""`mpsearch space`: the search spaces, and what they say."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.completion import complete_space
from mpsearch.cli.help_screen import HelpCommand, HelpGroup

app = typer.Typer(cls=HelpGroup, rich_markup_mode=None)


@app.callback()
def space() -> None:
    """List the built-in search spaces, or show one with its defaults.

    $ mpsearch space list

    $ mpsearch space show digits
    """


@app.command("list", cls=HelpCommand)
def list_spaces() -> None:
    """List the built-in search spaces.

    $ mpsearch space list
    """
    from mpsearch.cli.console import output
    from mpsearch.report.fitted_table import Column, FittedTable
    from mpsearch.search.built_in_spaces import built_in_spaces
    from mpsearch.search.space_file import load_space

    spaces = {name: load_space(path) for name, path in built_in_spaces().items()}
    columns = [
        Column(title="space", cells=list(spaces), justify="left", style="bold"),
        Column(title="task", cells=[space.task.name for space in spaces.values()], justify="left"),
        Column(
            title="objectives",
            cells=[", ".join(o.name for o in space.objectives) for space in spaces.values()],
            justify="left",
            importance=1,
        ),
        Column(title="trials", cells=[str(space.search.trials) for space in spaces.values()], importance=2),
    ]
    output().print(FittedTable(columns=columns, rows=len(spaces)))


@app.command("show", cls=HelpCommand)
def show_space(
    space: Annotated[
        str,
        typer.Argument(
            help="A search space: a YAML file or a built-in name.",
            show_default=False,
            autocompletion=complete_space,
        ),
    ],
) -> None:
    """Show every setting of a space, defaults included.

    `mpsearch plan` tells what they come to: the layers of the model, what the policies cost, the time.

        $ mpsearch space show digits
    """
    from rich.text import Text

    from mpsearch.cli.console import output
    from mpsearch.report.space_view import settings_view
    from mpsearch.search.space_file import find_space, load_space

    console = output()
    console.print(settings_view(load_space(space), Path(find_space(space))))
    console.print()
    command = shlex.join(["mpsearch", "plan", space])
    console.print(Text.assemble(("next  ", "bold"), (command, "cyan")), soft_wrap=True)
