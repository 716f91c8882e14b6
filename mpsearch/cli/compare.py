"""`mpsearch compare`: policies of one run, or the fronts of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpsearch.cli.completion import complete_trial_or_run
from mpsearch.cli.plot_options import LogX, LogY, XAxis, YAxis, scale_of
from mpsearch.cli.run_argument import RunArgument
from mpsearch.errors import ConfigError

_RULE = (
    "A comparison needs a run and two of its policies (mpsearch compare RUN knee 12), or two runs "
    "(mpsearch compare RUN1 RUN2)"
)
_MOST = 6  # policies, or runs


def compare(
    run: RunArgument,
    others: Annotated[
        list[str],
        typer.Argument(
            help="Policies of it (trial numbers, knee, best, conditions), or more run folders.",
            show_default=False,
            autocompletion=complete_trial_or_run,
        ),
    ],
    *,
    x: XAxis = None,
    y: YAxis = None,
    log_x: LogX = None,
    log_y: LogY = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare policies of a run layer by layer, or the fronts of several.

    Policies: what differs, what each difference costs in time and memory, which differences of scores are
    noise. Fronts: hypervolume in a common box, how much of one the other beats, best accuracy at several
    budgets.

        $ mpsearch compare runs/digits knee 4

        $ mpsearch compare runs/digits runs/digits-seed1 --x memory
    """
    from mpsearch.cli.console import output, print_json
    from mpsearch.search.run import load_run

    folders = [other for other in others if _is_folder(other)]
    if len(others) + 1 > _MOST:
        raise ConfigError(f"At most {_MOST} can be compared at once; got {len(others) + 1}.")
    first = load_run(run)
    if len(folders) == len(others):
        from mpsearch.report.compare_fronts import fronts_json, fronts_view
        from mpsearch.search.front_comparison import compare_fronts

        comparison = compare_fronts([first, *(load_run(Path(folder)) for folder in folders)])
        if as_json:
            print_json(fronts_json(comparison))
            return
        output().print(
            fronts_view(
                comparison,
                x=x,
                y=y,
                x_scale=scale_of(log_x),
                y_scale=scale_of(log_y),
            )
        )
        return
    if folders:
        raise ConfigError(f"{_RULE}; got both policies and a further run, {folders[0]}.")
    from mpsearch.report.compare_policies import policies_json, policies_view
    from mpsearch.search.pick import pick_trial

    if len(others) < 2:
        raise ConfigError(f"{_RULE}; got one policy, {others[0]!r}.")
    records = [pick_trial(first, other) for other in others]
    if (x, y, log_x, log_y) != (None,) * 4:
        raise ConfigError("--x, --y and their scales are axes of fronts; policies are compared in tables.")
    if len({record.number for record in records}) < len(records):
        numbers = ", ".join(f"{other} is trial {r.number}" for other, r in zip(others, records, strict=True))
        raise ConfigError(f"Policies to compare must be different ones; {numbers}.")
    if as_json:
        print_json(policies_json(first, records))
    else:
        output().print(policies_view(first, records))


def _is_folder(text: str) -> bool:
    """Whether a run is meant: what exists, or is written as a path; "knee" and "12" name policies."""
    is_condition = any(sign in text for sign in "<>=≤≥≠")
    return not is_condition and ("/" in text or (Path(text).is_dir() and not text.isdigit()))
