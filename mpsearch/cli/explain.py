"""`mpsearch explain`: which layers can go low and which cannot."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mpsearch.cli.completion import complete_layer, complete_trial
from mpsearch.cli.run_argument import RunArgument
from mpsearch.errors import ConfigError


class SortKey(StrEnum):
    """In which order the layers come."""

    MODEL = "model"
    ACCURACY = "accuracy"
    MEMORY = "memory"
    LATENCY = "latency"
    NAME = "name"


def explain(
    run: RunArgument,
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="PICK",
            autocompletion=complete_trial,
            help="The policy that is changed: a trial number, knee, best, or a filter as in `show`.",
            show_default="the most precise uniform policy trained",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(metavar="POINTS", help="How many points of accuracy a layer may lose.")
    ] = 1.0,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="GLOB", help="Only these layers.", show_default="all", autocompletion=complete_layer
        ),
    ] = None,
    sort: Annotated[
        SortKey,
        typer.Option(help="accuracy: most sensitive first; memory, latency: most saved first."),
    ] = SortKey.MODEL,
    every: Annotated[bool, typer.Option("--all", help="One row for each scheme of each layer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: all effects.")] = False,
) -> None:
    """Tell which layers can go low and which cannot, with evidence.

    What each layer loses in accuracy when it alone takes another precision, learnt from all trials of the run
    and with 95% intervals, beside the bytes and microseconds that it saves, exact.

        $ mpsearch explain runs/digits

        $ mpsearch explain runs/digits --at knee --tolerance 0.5 --sort memory

        $ mpsearch explain runs/digits --layer "conv*" --all
    """
    from mpsearch.cli.console import output, print_json
    from mpsearch.search.layer_effects import layer_effects
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    if not 0 < tolerance < 100:
        raise ConfigError(f"--tolerance must be points between 0 and 100, such as 0.5; got {tolerance:g}.")
    found = load_run(run)
    reference = None if at is None else pick_trial(found, at).policy
    effects = layer_effects(found, reference, tolerance=tolerance / 100)
    from mpsearch.report.explain_view import chosen_choices, explain_view

    choices = chosen_choices(effects, layers=layer, order=sort.value)
    if as_json:
        from mpsearch.report.explain_json import explain_json

        print_json(explain_json(found, effects, choices))
        return
    from mpsearch.report.explain_summary import next_command

    console = output()
    console.print(explain_view(found, effects, choices, every_scheme=every))
    console.print()
    console.print(next_command(found, effects), soft_wrap=True)
