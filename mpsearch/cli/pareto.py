"""`mpsearch pareto`: the front of a run."""

from __future__ import annotations

import sys
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
from mpsearch.cli.plot_options import LogX, LogY, XAxis, YAxis, scale_of
from mpsearch.cli.run_argument import RunArgument
from mpsearch.errors import ConfigError

_ROWS = "Rows"


def pareto(
    run: RunArgument,
    *,
    filter_text: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="EXPR",
            help='Only trials such as "latency<300us and (accuracy>90% or layer4.*!=w1a1)".',
            rich_help_panel=_ROWS,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="NAME",
            help="Best first by accuracy, test, latency, latency_p95, latency_p99, measured, memory, energy; "
            "or by trial.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="N", help="Only the first N.", rich_help_panel=_ROWS),
    ] = None,
    all_trials: Annotated[
        bool,
        typer.Option("--all", help="All scored trials, not only the front.", rich_help_panel=_ROWS),
    ] = False,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="List the trials that failed, with their reasons, and those that never ended.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    x: XAxis = None,
    y: YAxis = None,
    log_x: LogX = None,
    log_y: LogY = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: all scored trials, or those of --filter.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row a trial, one column a layer.")] = False,
    max_memory: MaxMemory = None,
    max_latency: MaxLatency = None,
    max_latency_p95: MaxLatencyP95 = None,
    max_latency_p99: MaxLatencyP99 = None,
    max_energy: MaxEnergy = None,
    max_compressed_size: MaxCompressedSize = None,
    max_loss: MaxLoss = None,
    min_accuracy: MinAccuracy = None,
    objectives: Objectives = None,
) -> None:
    """Show the front of a run: table, plot, knee, best under the budgets.

    Budgets and objectives given here judge the run anew; without any, its own apply.

        $ mpsearch pareto runs/digits

        $ mpsearch pareto runs/digits --x memory --max-latency 300us

        $ mpsearch pareto runs/digits --all --filter "fc2!=w1a1 and faster>8x" --sort accuracy --top 10
    """
    from mpsearch.report.trial_selection import TrialSelection
    from mpsearch.search.further_profiles import require_devices
    from mpsearch.search.run import load_run
    from mpsearch.search.trial_filter import TrialFilter

    if as_json and as_csv:
        raise ConfigError("Only one of --json and --csv can be printed; got both.")
    found = load_run(run)
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
    require_devices((), budgets, found.devices)
    asked = objective_names(objectives)
    if asked is not None:
        found = found.with_objectives(asked)
    if budgets:
        found = found.with_budgets(budgets)
    selection = TrialSelection(
        filter=TrialFilter.parse(filter_text, found.layers, found.devices)
        if filter_text is not None
        else None,
        sort=sort,
        top=top,
        is_of_all=all_trials,
    )
    if as_json:
        from mpsearch.cli.console import print_json
        from mpsearch.report.json_report import json_report

        print_json(json_report(found, selection))
    elif as_csv:
        from mpsearch.report.csv_report import csv_report

        sys.stdout.write(csv_report(found, selection))
    else:
        from mpsearch.cli.console import output
        from mpsearch.report.front_plot import front_plot
        from mpsearch.report.run_overview import next_step, run_overview

        console = output()
        plot = front_plot(
            found,
            x=x,
            y=y,
            x_scale=scale_of(log_x),
            y_scale=scale_of(log_y),
            selection=selection,
        )
        console.print(run_overview(found, selection=selection, plot=plot, failed=failed))
        if found.front.records:
            console.print()
            is_judged_anew = bool(budgets) or asked is not None
            console.print(next_step(found, by_number=is_judged_anew), soft_wrap=True)
