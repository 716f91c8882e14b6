"""The command `mpsearch`: the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from mpsearch.cli import bench, doctor, export, inspect, pareto, profile, search, show, space
from mpsearch.cli.console import messages
from mpsearch.errors import MpsearchError, StorageError

EXIT_BROKEN_PIPE = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
_DEBUG = "--debug"

app = typer.Typer(
    name="mpsearch",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - the callback that typer asks for
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"mpsearch {version('mpsearch')}")
        except PackageNotFoundError:
            typer.echo("mpsearch (not installed)")
        raise typer.Exit


@app.callback()
def _root(
    *,
    debug: Annotated[
        bool, typer.Option(_DEBUG, help="Show the traceback of an error. Goes anywhere on the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """How few bits can each layer of a neural network live with, on your machine?

    Each command has an example in its own --help. A first search, with everything built in:

        $ mpsearch search digits
    """


app.command()(search.search)
app.command()(pareto.pareto)
app.command()(show.show)
app.command()(inspect.inspect)
app.command()(export.export)
app.command()(bench.bench)
app.command()(profile.profile)
app.add_typer(space.app, name="space")
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line; every deliberate error ends in one red line and exit code 2."""
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        try:
            app(args=arguments, prog_name="mpsearch")
        finally:
            sys.stdout.flush()  # here, where a full disk is still an error with a message
    except KeyboardInterrupt as error:
        messages().print("Interrupted.", style="yellow")
        raise SystemExit(EXIT_INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader of a pipe has seen enough: quietly, as typer ends it
        _drop_unwritten_output()
        raise SystemExit(EXIT_BROKEN_PIPE) from error
    except (MpsearchError, OSError) as error:
        _drop_unwritten_output()
        if debug:
            raise
        _fail(error if isinstance(error, MpsearchError) else _refused(error))
        raise SystemExit(EXIT_ERROR) from error


def _refused(error: OSError) -> StorageError:
    """What the operating system refused, where no command says it better: a path too long, no permission."""
    place = "Standard output" if error.filename is None else str(error.filename)
    return StorageError(
        f"{place} must be readable and writable; got: {error.strerror or error}. Check the name, its "
        "permissions and the disk; --debug shows where it was needed."
    )


def _drop_unwritten_output() -> None:
    """What cannot be written would fail once more, with a traceback, when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: MpsearchError) -> None:
    from rich.text import Text

    messages().print(
        Text.assemble((type(error).__name__, "bold red"), (": ", "red"), str(error)), soft_wrap=True
    )
