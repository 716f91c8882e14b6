"""Which trial a user means: by name, by number, or by what it must reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mpsearch.errors import ConfigError, RunError
from mpsearch.search.best_trial import best_of
from mpsearch.search.trial_filter import TrialFilter
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    from mpsearch.search.run import Run

_CHOICES: dict[str, Callable[[Run], TrialRecord]] = {
    "knee": lambda run: run.front.knee().record,
    "best": lambda run: run.front.best().record,
    "fastest": lambda run: min(run.front.records, key=lambda r: (r.latency_s, -r.accuracy)),
    "smallest": lambda run: min(run.front.records, key=lambda r: (r.memory_bytes, -r.accuracy)),
    "accurate": lambda run: max(run.front.records, key=lambda r: (r.accuracy, -r.latency_s)),
}
RULE = (
    f'{", ".join(_CHOICES)}, a trial number, or conditions such as "latency<300us and accuracy>0.9" '
    "(the best trial of the front that meets them)"
)


def pick_trial(run: Run, pick: str | int) -> TrialRecord:
    """The trial that `pick` names.

    Raises: ConfigError if `pick` is none of the forms; RunError if no trial fits; BudgetError for "best"
    where no trial meets the run's budgets.
    """
    text = str(pick).strip()
    if re.fullmatch(r"\d+", text):
        return run.trial(int(text))
    if text not in _CHOICES and not re.search(r"[<>=≤≥≠\s]", text):
        raise ConfigError(f"A pick must be one of {RULE}; got {text!r}.")
    if not run.front.records:
        raise RunError(f"{run.path} has no finished trial to pick. Continue it with `mpsearch search`.")
    if text in _CHOICES:
        return _CHOICES[text](run)
    wanted = TrialFilter.parse(text, tuple(run.front.records[0].policy), run.devices)
    fitting = [record for record in run.front.records if wanted.keeps(run, record)]
    if not fitting:
        raise RunError(
            f"A pick must fit a trial on the front; none of the {len(run.front)} meets {text!r}. "
            "`mpsearch pareto` lists them."
        )
    best = best_of(fitting, run.objectives)
    assert best is not None
    return best
