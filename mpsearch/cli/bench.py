"""`mpsearch bench`: run a packed model, or the trials of a run; measured beside predicted."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mpsearch.cli.completion import complete_run, complete_trial
from mpsearch.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from rich.console import Console

    from mpsearch.search.measured import MeasuredLatency
    from mpsearch.search.run import Run
    from mpsearch.search.trial_record import TrialRecord

EXIT_INTERRUPTED = 130


def bench(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL_OR_RUN",
            help="A folder that `mpsearch export` wrote; or a run, whose front is timed.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    *,
    pick: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PICK",
            help="Of a run, this trial: knee, best, fastest, smallest, accurate, a number, or conditions. "
            "Can be repeated.",
            show_default="the front",
            autocompletion=complete_trial,
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads to run on.", show_default="those of the prediction", min=1)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="The task's own code, path/file.py:function or package.module:function. Needed unless the "
            "task is built in, because it is run.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a packed model, or trials of a run: measured beside predicted.

    Of a packed model the outputs are compared too. What is measured of a run is
    kept in its folder, where all other commands show it.

        $ mpsearch bench digits-knee

        $ mpsearch bench runs/digits --pick knee --pick 0
    """
    from mpsearch.search.run_folder import RunFolder

    if RunFolder(run).exists:
        _bench_run(run, pick or [], threads=threads, task=task, as_json=as_json)
    elif pick:
        raise ConfigError(
            f"--pick chooses trials of a run; {run} is none. Leave --pick out for a packed model."
        )
    else:
        _bench_model(run, threads=threads, task=task, as_json=as_json)


def _bench_model(model: Path, *, threads: int | None, task: str | None, as_json: bool) -> None:
    from mpsearch.cli.console import messages, output, print_json
    from mpsearch.export.verify import verify_packed

    with _standing_line(messages()) as tell:
        report = verify_packed(model, threads=threads, named_task=task, on_step=tell)
    if as_json:
        print_json(report.to_dict())
    else:
        from mpsearch.report.bench_table import bench_view

        output().print(bench_view(report))


def _bench_run(path: Path, picks: list[str], *, threads: int | None, task: str | None, as_json: bool) -> None:
    from mpsearch.cli.console import messages, output, print_json
    from mpsearch.report.bench_run_table import bench_run_json, bench_run_view
    from mpsearch.search.searching import is_searching

    run, records = _trials(path, picks, task)
    console = messages()
    if is_searching(path):
        console.print(f"A search goes on in {path}: what is timed beside it takes longer.", style="yellow")
    found: list[MeasuredLatency] = []
    try:
        is_kept = _measure(run, records, threads, found)
    except KeyboardInterrupt as error:
        kept = f" What is measured is in {path}." if found else ""
        console.print(f"Interrupted after {len(found)} of {len(records)} trials.{kept}", style="yellow")
        raise typer.Exit(EXIT_INTERRUPTED) from error
    if as_json:
        print_json(bench_run_json(run, found, is_kept=is_kept))
    else:
        if console.is_terminal:
            console.print()
        output().print(bench_run_view(run, found, is_kept=is_kept))


def _trials(path: Path, picks: list[str], task: str | None) -> tuple[Run, list[TrialRecord]]:
    """The run, and its trials to time: the front, or those picked, each once.

    Raises: RunError if the run has none.
    """
    from mpsearch.errors import RunError
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    run = load_run(path) if task is None else load_run(path).with_task_at(task)
    chosen = [pick_trial(run, pick) for pick in picks] if picks else list(run.front.records)
    if not chosen:
        command = f"mpsearch search {shlex.quote(str(path))}"
        raise RunError(f"{path} has no finished trial to time. Continue it with `{command}`.")
    return run, list({record.number: record for record in chosen}.values())


def _measure(run: Run, records: list[TrialRecord], threads: int | None, found: list[MeasuredLatency]) -> bool:
    """Add to `found` trial by trial, told and kept before the next begins; whether all could be kept."""
    from mpsearch.cli.console import messages
    from mpsearch.export.measure import measure_trials
    from mpsearch.report.bench_run_table import measured_line
    from mpsearch.search.run_folder import RunFolder

    console = messages()
    is_kept = True
    with _standing_line(console) as tell:
        tell("loading the task")

        def on_step(record: TrialRecord, step: str) -> None:
            tell(f"{step} trial {record.number}  ({len(found) + 1} of {len(records)})")

        for measured in measure_trials(run, records, threads=threads, on_step=on_step):
            found.append(measured)
            console.print(measured_line(run, measured), soft_wrap=True)
            if is_kept:
                try:
                    RunFolder(run.path).append_measured(measured)
                except StorageError as error:
                    is_kept = False
                    console.print(f"What is measured is shown, not kept: {error}", style="yellow")
    return is_kept


@contextmanager
def _standing_line(console: Console) -> Iterator[Callable[[str], None]]:
    """A line on a terminal, drawn when it changes and at no other time: a spinner disturbs what is timed."""
    from rich.live import Live
    from rich.text import Text

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda text: live.update(Text(text, "dim"), refresh=True)
