"""The command `mpsearch`: the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mpsearch.cli import (
    bench,
    compare,
    doctor,
    explain,
    export,
    inspect,
    pareto,
    plan,
    profile,
    report,
    search,
    show,
    space,
)
from mpsearch.cli.console import messages
from mpsearch.cli.help_screen import HelpCommand, HelpGroup
from mpsearch.errors import MpsearchError, StorageError

EXIT_BROKEN_PIPE = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
_DEBUG = "--debug"
_UsageError: Any = typer.BadParameter.__mro__[1]  # which typer does not export

SEARCH, LOOK, USE, MACHINE = "Search", "Look at a run", "Use a policy", "Machine and spaces"
# In the order of `mpsearch --help`; a command is named as its function.
_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    (SEARCH, plan.plan),
    (SEARCH, search.search),
    (LOOK, pareto.pareto),
    (LOOK, show.show),
    (LOOK, explain.explain),
    (LOOK, compare.compare),
    (LOOK, inspect.inspect),
    (LOOK, report.report),
    (USE, export.export),
    (USE, bench.bench),
    (MACHINE, profile.profile),
    (MACHINE, doctor.doctor),
)

app = typer.Typer(
    name="mpsearch",
    cls=HelpGroup,
    rich_markup_mode=None,  # help screens and errors are ours
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
        bool, typer.Option(_DEBUG, help="Show an error's traceback. Goes anywhere on the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """How few bits can each layer of a neural network live with, on your machine?

    Searches the precision of every layer for the best trade of accuracy, latency and memory. Each command
    has examples in its own `--help`. A first search needs nothing but this:

        $ mpsearch search digits

        $ mpsearch pareto runs/digits
    """


for _panel, _function in _COMMANDS:
    app.command(cls=HelpCommand, rich_help_panel=_panel)(_function)
app.add_typer(space.app, name="space", rich_help_panel=MACHINE)


def main() -> None:
    """Run the command line; every deliberate error ends in one red line and exit code 2."""
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    debug = len(arguments) < len(sys.argv) - 1
    _open_closed_streams()
    try:
        try:
            code = app(args=arguments, prog_name="mpsearch", standalone_mode=False)
        finally:
            sys.stdout.flush()  # here, where a full disk is still an error with a message
    except (KeyboardInterrupt, typer.Abort) as error:
        messages().print("Interrupted.", style="yellow")
        raise SystemExit(EXIT_INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader of a pipe has seen enough: quietly
        _drop_unwritten_output()
        raise SystemExit(EXIT_BROKEN_PIPE) from error
    except _UsageError as error:
        _fail("UsageError", _usage_text(error))
        raise SystemExit(EXIT_ERROR) from error
    except (MpsearchError, OSError) as error:
        _drop_unwritten_output()
        if debug:
            raise
        told = error if isinstance(error, MpsearchError) else _refused(error)
        _fail(type(told).__name__, str(told))
        _end_beside_a_stuck_thread()
        raise SystemExit(EXIT_ERROR) from error
    if isinstance(code, int) and code:
        raise SystemExit(code)


def _usage_text(error: Any) -> str:
    """What is wrong with the line that was typed, and where the right one is told."""
    told = " ".join(error.format_message().split())
    told = told if told.endswith((".", "?", ")")) else f"{told}."
    context = getattr(error, "ctx", None)
    return told if context is None else f"{told} `{context.command_path} --help` tells more."


def _refused(error: OSError) -> StorageError:
    """What the operating system refused, where no command says it better: a path too long, no permission."""
    place = "Standard output" if error.filename is None else str(error.filename)
    return StorageError(
        f"{place} must be readable and writable; got: {error.strerror or error}. Check the name, its "
        "permissions and the disk; --debug shows where it was needed."
    )


def _open_closed_streams() -> None:
    """Started with an output that is closed (`>&-`), Python has None for it: nobody is to read that."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def _drop_unwritten_output() -> None:
    """What cannot be written would fail once more, with a traceback, when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_beside_a_stuck_thread() -> None:
    """Where Ray's head is gone, a thread waits in Ray for it: Python's own end would crash on that."""
    from mpsearch.search.ray_address import TUNE_THREAD

    if any(thread.name == TUNE_THREAD for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(EXIT_ERROR)


def _fail(kind: str, told: str) -> None:
    from rich.text import Text

    messages().print(Text.assemble((kind, "bold red"), (": ", "red"), told), soft_wrap=True)
