"""`mpsearch search`: find the front."""

from __future__ import annotations

import shlex
import signal
from enum import StrEnum
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
from mpsearch.cli.completion import complete_layer, complete_space_or_run
from mpsearch.cli.override_options import OVERRIDES_PANEL, Forbid, Pin
from mpsearch.errors import RunError, UnmeasuredError

_HOW = "How to search"
_WHERE = "Machine"


class Sampler(StrEnum):
    """What proposes policies; the table of `mpsearch.search.samplers`."""

    MPSEARCH = "mpsearch"
    TPE = "tpe"
    NSGA2 = "nsga2"
    GP = "gp"
    RANDOM = "random"
    ILP = "ilp"
    GREEDY = "greedy"
    EVOLUTION = "evolution"
    HAQ = "haq"


class SensitivityName(StrEnum):
    """How layers are compared before the first trial; the table of `mpsearch.search.sensitivity`."""

    LOSS = "loss"
    GRADIENT = "gradient"
    HESSIAN = "hessian"
    SUPERNET = "supernet"
    SQNR = "sqnr"
    NONE = "none"


def search(
    space: Annotated[
        str,
        typer.Argument(
            help="A search space: a YAML file or a built-in name. Or the folder of a run, to go on with it.",
            show_default=False,
            autocompletion=complete_space_or_run,
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
    free: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="Lift what the space, or the run so far, pins or forbids under that name. Can be repeated.",
            rich_help_panel=OVERRIDES_PANEL,
            autocompletion=complete_layer,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Trials in all, those already there included.",
            min=1,
            show_default="the space's",
            rich_help_panel=_HOW,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin no trial after that time: 30m, 2h.", rich_help_panel=_HOW),
    ] = None,
    trial_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="End a trial that takes longer, as failed: 10m.",
            show_default="the space's",
            rich_help_panel=_HOW,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of everything random.", show_default="the space's", rich_help_panel=_HOW),
    ] = None,
    sampler: Annotated[
        Sampler | None,
        typer.Option(help="What proposes policies.", show_default="the space's", rich_help_panel=_HOW),
    ] = None,
    sensitivity: Annotated[
        SensitivityName | None,
        typer.Option(
            help="How a sampler that asks for it learns which layers lose most.",
            show_default="the space's",
            rich_help_panel=_HOW,
        ),
    ] = None,
    fidelities: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Train first for shares of the steps, as 0.1,0.3; those that promise most go on.",
            show_default="the space's",
            rich_help_panel=_HOW,
        ),
    ] = None,
    repeats: Annotated[
        bool | None,
        typer.Option(
            "--repeats/--no-repeats",
            help="Train policies whose place on the front is contested with further seeds.",
            show_default="the space's",
            rich_help_panel=_HOW,
        ),
    ] = None,
    hw: Annotated[
        list[Path] | None,
        typer.Option(
            "--hw",
            metavar="PROFILE",
            help="A hardware profile, of this or another machine. Each further one joins by its name: "
            "latency@pi5.",
            show_default="measured now",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            help="Threads that the model will run on, where the profile is measured now.",
            min=1,
            rich_help_panel=_WHERE,
        ),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Trials at a time, each in a process of its own; 0: one, in the process that searches.",
            min=0,
            show_default="the space's",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Policies that a worker trains together, on the same batches of data.",
            min=1,
            show_default="the space's",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="local|auto|HOST:PORT",
            help="Run trials over Ray: a cluster of this machine alone, the one it is in, or that one.",
            show_default="no Ray",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="Ray's processors for one trial: 2, 0.5.",
            show_default="the threads that the model is worth",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float, typer.Option(help="Ray's GPUs for one trial: 1, 0.25.", rich_help_panel=_WHERE)
    ] = 0.0,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A PostgreSQL database where several drivers search one study: "
            "postgresql://USER@HOST/DATABASE; also as MPSEARCH_STORAGE. Passwords: PGPASSWORD or ~/.pgpass.",
            show_default="a file in the run folder",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The study's name there.",
            show_default="the run folder's",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run folder.", show_default="runs/NAME-OF-THE-SPACE, or the run's own"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Only go on with a run that is there; never begin one.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="One line an event, on a terminal too.")] = False,
    json_lines: Annotated[
        bool,
        typer.Option("--json-lines", help="One JSON object an event on standard output, and nothing else."),
    ] = False,
) -> None:
    """Search a space for the front of accuracy, latency and memory, or of any of its objectives.

    It can be stopped at any moment: the same command goes on where it was.
    Budgets, overrides and objectives may change from call to call; trials are judged anew.

        $ mpsearch search digits

        $ mpsearch search digits --objectives accuracy --max-memory 30KB --max-latency 20us

        $ mpsearch search my-space.yaml --max-memory 60KB --out runs/mine

        $ mpsearch search runs/mine --trials 60 --pin fc=w8a8 --forbid "conv*=w1a1"
    """
    from mpsearch.cli.console import messages, output
    from mpsearch.report.progress import search_view
    from mpsearch.report.run_overview import next_step, run_overview
    from mpsearch.search.interrupts import Ended, endings_interrupt, uninterrupted
    from mpsearch.search.overrides import Overrides
    from mpsearch.search.quantities import parse_duration_s, parse_shares
    from mpsearch.search.run_folder import RunFolder
    from mpsearch.search.search_target import search_target

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
    timeout_s = None if timeout is None else parse_duration_s(timeout)
    trial_timeout_s = None if trial_timeout is None else parse_duration_s(trial_timeout)
    shares = None if fidelities is None else parse_shares(fidelities)
    overrides = Overrides.parse(pin, forbid)
    target = search_target(space)
    folder = target.folder(out)
    if resume and not RunFolder(folder).has_begun:
        raise RunError(
            f"--resume needs a run that is there; {folder} is none. Leave --resume out to begin it, or name "
            "another --out."
        )
    from mpsearch.search.engine import run_search  # torch and optuna: after what can be refused at once

    console = messages()
    try:
        with endings_interrupt(), search_view(console, quiet=quiet, json_lines=json_lines) as view:
            run = run_search(
                target.space,
                out=folder,
                profile=hw,
                trials=trials,
                timeout_s=timeout_s,
                trial_timeout_s=trial_timeout_s,
                workers=workers,
                batch=batch,
                repeats=repeats,
                ray=ray,
                cpus_per_trial=cpus_per_trial,
                gpus_per_trial=gpus_per_trial,
                budgets=budgets,
                overrides=overrides,
                free=free or (),
                seed=seed,
                sampler=None if sampler is None else sampler.value,
                sensitivity=None if sensitivity is None else sensitivity.value,
                fidelities=shares,
                objectives=objective_names(objectives),
                threads=threads,
                storage=storage,
                study=study,
                on_event=view,
            )
    except UnmeasuredError as error:
        profile = shlex.quote(str(hw[0])) if hw and len(hw) == 1 else None
        file = space if target.run is None else str(RunFolder(target.run).space_file)
        raise error.naming(space=shlex.quote(file), profile=profile) from error
    except KeyboardInterrupt as error:
        with uninterrupted():  # a user who presses Ctrl-C twice is told all the same
            console.print(
                f"Interrupted. What is finished is in {folder}; the same command goes on.", style="yellow"
            )
        number = error.number if isinstance(error, Ended) else signal.SIGINT
        raise typer.Exit(128 + number) from error
    if json_lines:
        return
    answers = output()
    answers.print(run_overview(run))
    if run.front.records:
        answers.print()
        answers.print(next_step(run), soft_wrap=True)
