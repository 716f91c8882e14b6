"""`mpsearch show`: one policy, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    trial: Annotated[
        str, typer.Argument(help="A trial number, or knee, best, fastest, smallest, accurate.")
    ] = "knee",
) -> None:
    """Show one policy layer by layer: precision, work, bytes, time and the share of each.

    $ mpsearch show runs/digits 12

    $ mpsearch show runs/digits knee
    """
    from mpsearch.cli.console import output
    from mpsearch.report.policy_table import policy_view
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    found = load_run(run)
    output().print(policy_view(found, pick_trial(found, trial)))
