"""`mpsearch show`: one policy, layer by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from mpsearch.cli.completion import complete_trial
from mpsearch.cli.run_argument import RunArgument


def show(
    run: RunArgument,
    trial: Annotated[
        str,
        typer.Argument(
            help='A trial number; knee, best, fastest, smallest, accurate; or "latency<300us and '
            'fc!=w1a1", the most accurate of the front that meets it.',
            autocompletion=complete_trial,
        ),
    ] = "knee",
) -> None:
    """Show one policy layer by layer, and what others have more or less.

    Precision, work, bytes and time of each layer with its share; scores with intervals; the neighbours on the
    front, the knee and the uniform policies as changes from it.

        $ mpsearch show runs/digits 12

        $ mpsearch show runs/digits "memory<20KB"
    """
    from mpsearch.cli.console import output
    from mpsearch.report.policy_view import policy_view
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    found = load_run(run)
    output().print(policy_view(found, pick_trial(found, trial)))
