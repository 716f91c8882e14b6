"""`mpsearch plan`: what a search would find to choose from, and how long it would take."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.budget_options import (
    MaxCompressedSize,
    MaxEnergy,
    MaxLatency,
    MaxLatencyP95,
    MaxLatencyP99,
    MaxLoss,
    MaxMemory,
    MinAccuracy,
    Objectives,
    budgets_from,
    objective_names,
)
from mpsearch.cli.completion import complete_space
from mpsearch.cli.override_options import Forbid, Pin
from mpsearch.errors import UnmeasuredError

EXIT_OUT_OF_REACH = 1
_MACHINE = "Machine"


def plan(
    space: Annotated[
        str,
        typer.Argument(
            help="A search space: a YAML file or a built-in name.",
            show_default=False,
            autocompletion=complete_space,
        ),
    ],
    *,
    max_memory: MaxMemory = None,
    max_latency: MaxLatency = None,
    max_latency_p95: MaxLatencyP95 = None,
    max_latency_p99: MaxLatencyP99 = None,
    max_energy: MaxEnergy = None,
    max_compressed_size: MaxCompressedSize = None,
    max_loss: MaxLoss = None,
    min_accuracy: MinAccuracy = None,
    objectives: Objectives = None,
    pin: Pin = None,
    forbid: Forbid = None,
    hw: Annotated[
        list[Path] | None,
        typer.Option(
            "--hw",
            metavar="PROFILE",
            help="A hardware profile, of this or another machine. Each further one joins by its name: "
            "latency@pi5.",
            show_default="that of runs/NAME-OF-THE-SPACE, else a quick measurement",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            help="Threads that the model will run on, where latency is measured now.",
            min=1,
            rich_help_panel=_MACHINE,
        ),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(help="Trials at a time.", min=1, show_default="the space's", rich_help_panel=_MACHINE),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all.", min=1, show_default="the space's")
    ] = None,
    no_time: Annotated[
        bool, typer.Option("--no-time", help="Time no training: only layers, policies, costs and budgets.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what a search would choose from, reach and take. Trains nothing.

    The time is that of real training steps, a few of them, on the task's own data. Exit code 1: no policy
    meets the budgets.

        $ mpsearch plan digits

        $ mpsearch plan digits --max-memory 60KB --max-latency 20us --no-time

        $ mpsearch plan cifar10-resnet20 --trials 100 --workers 2 --json
    """
    from mpsearch.cli.console import messages, output, print_json
    from mpsearch.report.plan_view import plan_view
    from mpsearch.search.given_settings import with_settings
    from mpsearch.search.overrides import Overrides
    from mpsearch.search.run_folder import RunFolder
    from mpsearch.search.space_file import load_space

    budgets = budgets_from(
        max_memory=max_memory,
        max_latency=max_latency,
        max_latency_p95=max_latency_p95,
        max_latency_p99=max_latency_p99,
        max_energy=max_energy,
        max_compressed_size=max_compressed_size,
        max_loss=max_loss,
        min_accuracy=min_accuracy,
    )
    overrides = Overrides.parse(pin, forbid)
    loaded = load_space(space)
    from mpsearch.search.planning import plan_search  # torch: after what can be refused at once

    asked = with_settings(
        loaded,
        trials=trials,
        workers=workers,
        budgets=budgets,
        overrides=overrides,
        objectives=objective_names(objectives),
    )
    stored = RunFolder(Path("runs") / loaded.name)
    progress = messages()
    try:
        if progress.is_terminal:
            with progress.status("starting") as status:
                found = plan_search(
                    asked,
                    source=space,
                    profile=hw,
                    stored=stored,
                    threads=threads,
                    with_time=not no_time,
                    on_step=status.update,
                )
        else:
            found = plan_search(
                asked, source=space, profile=hw, stored=stored, threads=threads, with_time=not no_time
            )
    except UnmeasuredError as error:
        profile = shlex.quote(str(hw[0])) if hw and len(hw) == 1 else None
        raise error.naming(space=shlex.quote(space), profile=profile) from error
    if as_json:
        print_json(found.to_dict())
    else:
        from rich.text import Text

        console = output()
        console.print(plan_view(found))
        if found.reach.is_feasible:
            words = [
                "mpsearch",
                "search",
                space,
                *_as_typed(
                    {
                        "--max-memory": max_memory,
                        "--max-latency": max_latency,
                        "--max-latency-p95": max_latency_p95,
                        "--max-latency-p99": max_latency_p99,
                        "--max-energy": max_energy,
                        "--max-compressed-size": max_compressed_size,
                        "--max-loss": max_loss,
                        "--min-accuracy": min_accuracy,
                        "--objectives": objectives,
                        "--pin": pin,
                        "--forbid": forbid,
                        "--hw": hw,
                        "--threads": threads if threads > 1 else None,
                        "--workers": workers,
                        "--trials": trials,
                    }
                ),
            ]
            console.print()
            console.print(Text.assemble(("next  ", "bold"), (shlex.join(words), "cyan")), soft_wrap=True)
    if not found.reach.is_feasible:
        raise typer.Exit(EXIT_OUT_OF_REACH)


def _as_typed(options: dict[str, object]) -> list[str]:
    words = []
    for name, given in options.items():
        for value in given if isinstance(given, list) else [given]:
            if value is not None:
                words += [name, str(value)]
    return words
