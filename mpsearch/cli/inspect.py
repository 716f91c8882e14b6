"""`mpsearch inspect`: a run on a full screen."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from typing import Annotated, Literal

import typer

from mpsearch.cli.run_argument import RunArgument
from mpsearch.errors import ConfigError

ThemeName = Literal["dark", "light", "mono"]


class Theme(StrEnum):
    """`auto`: light where the terminal says that it is (COLORFGBG), mono under NO_COLOR, else dark."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"
    MONO = "mono"


_LIGHT_GROUNDS = {"7", "15"}  # white, as COLORFGBG counts colours


def inspect(
    run: RunArgument,
    *,
    theme: Annotated[Theme, typer.Option(help="Colours; T changes them.")] = Theme.AUTO,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Where the task's code lies now, path/file.py:function, if it was moved since the search; "
            "for exports.",
        ),
    ] = None,
) -> None:
    """Look at a run full-screen: walk its front, compare, bound, export.

    Follows a search that is still running. Keys, a mouse and 80x24 over SSH will do; ? lists the keys.

    $ mpsearch inspect runs/digits
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            f"The inspector needs a terminal to draw on; its input or output is none. Give "
            f"`mpsearch pareto {shlex.quote(str(run))}`, which prints the same front anywhere."
        )
    from mpsearch.export.exporters import export_trial
    from mpsearch.report.inspector.app import InspectorApp
    from mpsearch.search.run import load_run

    is_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    found = load_run(run, exporter=export_trial)
    InspectorApp(
        found,
        theme=chosen_theme(theme),
        is_ascii=is_ascii,
        task=task,
    ).run()


def chosen_theme(theme: Theme) -> ThemeName:
    """What `auto` means in this terminal."""
    if theme is not Theme.AUTO:
        names: dict[Theme, ThemeName] = {Theme.DARK: "dark", Theme.LIGHT: "light", Theme.MONO: "mono"}
        return names[theme]
    if "NO_COLOR" in os.environ:
        return "mono"
    ground = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if ground in _LIGHT_GROUNDS else "dark"
