"""`mpsearch bench`: run a packed model, measured beside predicted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def bench(
    model: Annotated[Path, typer.Argument(help="A folder that `mpsearch export` wrote.", show_default=False)],
    *,
    threads: Annotated[
        int | None, typer.Option(help="Threads to run on.", show_default="those of the prediction", min=1)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="The task's own code, path/file.py:function or package.module:function. Needed unless the "
            "task is built in, because it is run."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a packed model: its latency beside the predicted one, its outputs beside the trial's.

    $ mpsearch bench digits-knee

    $ mpsearch bench digits-knee --json
    """
    from mpsearch.cli.console import messages, output
    from mpsearch.export.verify import verify_packed

    progress = messages()
    if progress.is_terminal:
        with progress.status("starting") as status:
            report = verify_packed(model, threads=threads, named_task=task, on_step=status.update)
    else:
        report = verify_packed(model, threads=threads, named_task=task)
    if as_json:
        sys.stdout.write(json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")
    else:
        from mpsearch.report.bench_table import bench_view

        output().print(bench_view(report))
