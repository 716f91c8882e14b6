"""`mpsearch explain`: which layers can go low and which cannot."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mpsearch.cli.completion import complete_layer, complete_trial
from mpsearch.cli.run_argument import RunArgument
from mpsearch.errors import ConfigError

if TYPE_CHECKING:
    from mpsearch.search.run import Run


_TOLERANCE = 1.0


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
    ] = _TOLERANCE,
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
    sensitivity: Annotated[
        str | None,
        typer.Option(
            metavar="METHODS",
            help="Ask methods of sensitivity (loss,hessian or all); show how well they rank the trials.",
            show_default="those that the run knows, at the end",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: all effects.")] = False,
) -> None:
    """Tell which layers can go low and which cannot, with evidence.

    What each layer loses in accuracy when it alone takes another precision, learnt from all trials of the run
    and with 95% intervals, beside the bytes and microseconds that it saves, exact.

        $ mpsearch explain runs/digits

        $ mpsearch explain runs/digits --at knee --tolerance 0.5 --sort memory

        $ mpsearch explain runs/digits --layer "conv*" --all

        $ mpsearch explain runs/digits --sensitivity all
    """
    from mpsearch.cli.console import output, print_json
    from mpsearch.search.layer_effects import layer_effects
    from mpsearch.search.pick import pick_trial
    from mpsearch.search.run import load_run

    if not 0 < tolerance < 100:
        raise ConfigError(f"--tolerance must be points between 0 and 100, such as 0.5; got {tolerance:g}.")
    found = load_run(run)
    if sensitivity is not None:
        if (at, layer, sort, every, tolerance) != (None, None, SortKey.MODEL, False, _TOLERANCE):
            raise ConfigError(
                "--sensitivity shows its methods alone: --at, --layer, --sort, --all and --tolerance are for "
                "the effects that trials tell. Ask for them in a second call, which shows both."
            )
        _ask(found, sensitivity, as_json=as_json)
        return
    reference = None if at is None else pick_trial(found, at).policy
    effects = layer_effects(found, reference, tolerance=tolerance / 100)
    from mpsearch.report.explain_view import chosen_choices, explain_view

    choices = chosen_choices(effects, layers=layer, order=sort.value)
    if as_json:
        from mpsearch.report.explain_json import explain_json

        print_json({**explain_json(found, effects, choices), "sensitivity": _known_json(found)})
        return
    from mpsearch.report.explain_summary import next_command
    from mpsearch.report.sensitivity_view import sensitivity_view
    from mpsearch.search.run_sensitivities import run_sensitivities
    from mpsearch.search.sensitivity_agreement import sensitivity_agreements

    console = output()
    console.print(explain_view(found, effects, choices, every_scheme=every))
    console.print()
    if known := run_sensitivities(found):
        console.print(sensitivity_view(found, known, sensitivity_agreements(found, known)))
        console.print()
    console.print(next_command(found, effects), soft_wrap=True)


def _ask(run: Run, methods: str, *, as_json: bool) -> None:
    """Find out what is missing, and show the methods alone."""
    from mpsearch.cli.console import messages, output, print_json
    from mpsearch.report.sensitivity_view import sensitivity_view
    from mpsearch.search.events import Event, StageProgress, StageStarted
    from mpsearch.search.run_sensitivities import compute_sensitivities, run_sensitivities
    from mpsearch.search.sensitivity import SENSITIVITIES, require_sensitivity
    from mpsearch.search.sensitivity_agreement import sensitivity_agreements

    names = list(SENSITIVITIES) if methods == "all" else [name.strip() for name in methods.split(",")]
    for name in names:
        require_sensitivity(name)
    console = messages()
    before = set(run_sensitivities(run))
    with console.status("") as status:

        def show(event: Event) -> None:
            if isinstance(event, StageStarted):
                status.update(event.detail)
                if not console.is_terminal:
                    console.print(event.detail, soft_wrap=True, markup=False)
            elif isinstance(event, StageProgress):
                status.update(f"{event.stage}: {event.done}/{event.total} {event.what}")

        known = compute_sensitivities(run, names, show)
    for name in names:
        if name in known and name not in before:
            console.print(f"{name} took {known[name].seconds:.1f} s", style="dim")
    if as_json:
        print_json({"schema": 1, "run": str(run.path), "sensitivity": _known_json(run)})
    elif known:
        output().print(sensitivity_view(run, known, sensitivity_agreements(run, known)))


def _known_json(run: Run) -> list[dict[str, Any]]:
    from mpsearch.report.sensitivity_view import sensitivity_json
    from mpsearch.search.run_sensitivities import run_sensitivities
    from mpsearch.search.sensitivity_agreement import sensitivity_agreements

    known = run_sensitivities(run)
    return sensitivity_json(run, known, sensitivity_agreements(run, known))
