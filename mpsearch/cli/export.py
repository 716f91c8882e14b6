"""`mpsearch export`: write one policy of a run as files."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.completion import complete_trial
from mpsearch.cli.run_argument import RunArgument


class Format(StrEnum):
    """What can be written; the table of `mpsearch.export.exporters`."""

    POLICY = "policy"
    PACKED = "packed"


def export(
    run: RunArgument,
    *,
    pick: Annotated[
        str,
        typer.Option(
            metavar="PICK",
            help='knee, best, fastest, smallest, accurate, a trial number, or conditions: "latency<300us".',
            autocompletion=complete_trial,
        ),
    ] = "knee",
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option(help="policy: one JSON file. packed: the weights in their bits, to run.")
    ] = Format.PACKED,
    out: Annotated[
        Path | None, typer.Option(help="File or folder to write.", show_default="RUN-TRIAL, here")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Where the task's code lies now, path/file.py:function, if it was moved since the search.",
        ),
    ] = None,
) -> None:
    """Write one policy of a run as a file, or as a packed model to run.

    $ mpsearch export runs/digits --pick knee --out digits-knee

    $ mpsearch export runs/digits --pick "latency<300us and accuracy>0.9" --format policy
    """
    from rich.text import Text

    from mpsearch.cli.console import output
    from mpsearch.export.exporters import export_trial
    from mpsearch.report.precision_strip import precision_strip
    from mpsearch.report.units import bytes_text, percent_text, seconds_text
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    found = load_run(run) if task is None else load_run(run).with_task_at(task)
    record = pick_trial(found, pick)
    default = f"{found.name}-{record.number}" + (".policy.json" if format is Format.POLICY else "")
    written = export_trial(found, record, out or Path(default), format=format.value)
    console = output()
    line = Text.assemble((f"trial {record.number}  ", "bold"), precision_strip(record.policy, width=40))
    line.append(f"  {percent_text(record.accuracy)}  {seconds_text(record.latency_s)} predicted  ")
    line.append(bytes_text(record.memory_bytes))
    console.print(line)
    console.print(Text.assemble(("wrote  ", "green"), str(written)), soft_wrap=True)
    if format is Format.PACKED:
        from mpsearch.export.compressed_size import compressed_model_bytes
        from mpsearch.export.manifest import Manifest
        from mpsearch.export.packed_file import MANIFEST_FILE, read_packed
        from mpsearch.export.task_of_model import task_option
        from mpsearch.training.task import BUILT_IN_TASKS

        manifest = Manifest.load(written / MANIFEST_FILE)
        check = manifest.check
        agreed = f"{percent_text(check.agreement)} of {check.samples} validation samples"
        style = "" if check.agreement >= 0.99 else "yellow"
        console.print(
            f"agrees with the trial on {agreed}, largest difference {check.max_abs_error:.2g}", style=style
        )
        if record.compressed_bytes is not None:
            compressed = bytes_text(compressed_model_bytes(read_packed(written)))
            estimated = bytes_text(record.compressed_bytes)
            console.print(f"{compressed} with its weights compressed, estimated {estimated}", style="dim")
        command = f"mpsearch bench {shlex.quote(str(written))}"
        if manifest.task not in BUILT_IN_TASKS:
            command += f" --task {task_option(manifest, written)}"
        console.print(Text.assemble(("next   ", "bold"), (command, "cyan")), soft_wrap=True)
