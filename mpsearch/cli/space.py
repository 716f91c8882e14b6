"""`mpsearch space`: the search spaces, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Search spaces: list the built-in ones, show one with its defaults."
)


@app.command("list")
def list_spaces() -> None:
    """List the built-in search spaces.

    $ mpsearch space list
    """
    from mpsearch.cli.console import output
    from mpsearch.report.fitted_table import Column, FittedTable
    from mpsearch.search.space_file import built_in_spaces, load_space

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


@app.command("show")
def show_space(
    space: Annotated[str, typer.Argument(help="A YAML file or a built-in name.", show_default=False)],
    *,
    trace: Annotated[
        bool,
        typer.Option("--layers/--no-layers", help="Load the task and list the layers with their choices."),
    ] = True,
) -> None:
    """Show a space with every default filled in, what each layer may take, and how many policies there are.

    $ mpsearch space show digits
    """
    from mpsearch.cli.console import output
    from mpsearch.report.space_view import settings_view
    from mpsearch.search.space_file import find_space, load_space

    loaded = load_space(space)
    console = output()
    console.print(settings_view(loaded, Path(find_space(space))))
    if trace:
        from mpsearch.models.trace import trace_model
        from mpsearch.report.space_view import layers_view
        from mpsearch.search.resolve import resolve
        from mpsearch.training.task import load_task

        task = load_task(loaded.task.name, dict(loaded.task.args))
        model = trace_model(task.new_model(), task.example_inputs)
        console.print()
        console.print(layers_view(resolve(loaded, model), model))
