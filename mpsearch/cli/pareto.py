"""`mpsearch pareto`: the front of a run."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.budget_options import (
    MaxEnergy,
    MaxLatency,
    MaxLatencyP95,
    MaxLatencyP99,
    MaxMemory,
    MinAccuracy,
    budgets_from,
)
from mpsearch.errors import ConfigError


class Cost(StrEnum):
    """What the plot's horizontal axis can show."""

    LATENCY = "latency"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    MEMORY = "memory"
    ENERGY = "energy"


def pareto(
    run: Annotated[
        Path, typer.Argument(help="A run folder, finished or still searching.", show_default=False)
    ],
    *,
    x: Annotated[Cost | None, typer.Option("--x", help="The cost that the plot shows.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: all scored trials.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row a trial, one column a layer.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="List failed trials with their reasons.")] = False,
    max_memory: MaxMemory = None,
    max_latency: MaxLatency = None,
    max_latency_p95: MaxLatencyP95 = None,
    max_latency_p99: MaxLatencyP99 = None,
    max_energy: MaxEnergy = None,
    min_accuracy: MinAccuracy = None,
) -> None:
    """Show the front of a run: table, plot, the knee, the best under the budgets.

    Budgets given here judge the run anew; without any, its own apply.

        $ mpsearch pareto runs/digits

        $ mpsearch pareto runs/digits --x memory --max-latency 300us
    """
    from mpsearch.search.run import load_run

    if as_json and as_csv:
        raise ConfigError("Only one of --json and --csv can be printed; got both.")
    found = load_run(run)
    budgets = budgets_from(
        max_memory=max_memory,
        max_latency=max_latency,
        max_latency_p95=max_latency_p95,
        max_latency_p99=max_latency_p99,
        max_energy=max_energy,
        min_accuracy=min_accuracy,
    )
    if budgets:
        found = found.with_budgets(budgets)
    if as_json:
        from mpsearch.report.json_report import json_report

        sys.stdout.write(json.dumps(json_report(found), indent=2, allow_nan=False) + "\n")
    elif as_csv:
        from mpsearch.report.csv_report import csv_report

        sys.stdout.write(csv_report(found))
    else:
        from mpsearch.cli.console import output
        from mpsearch.report.run_overview import next_step, run_overview

        console = output()
        console.print(run_overview(found, cost=x.value if x else None, failed=failed))
        if found.front.records:
            console.print()
            console.print(next_step(found), soft_wrap=True)
