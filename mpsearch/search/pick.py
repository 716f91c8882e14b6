"""Which trial a user means: by name, by number, or by what it must reach."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpsearch.errors import ConfigError, RunError
from mpsearch.search.objective import OBJECTIVES, Objective
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    from mpsearch.search.run import Run

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "≤": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "≥": operator.ge,
}
_CONDITION = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|<|>|≤|≥)\s*(\S(?:.*\S)?)\s*")
_CHOICES: dict[str, Callable[[Run], TrialRecord]] = {
    "knee": lambda run: run.front.knee().record,
    "best": lambda run: run.front.best().record,
    "fastest": lambda run: min(run.front.records, key=lambda r: (r.latency_s, -r.accuracy)),
    "smallest": lambda run: min(run.front.records, key=lambda r: (r.memory_bytes, -r.accuracy)),
    "accurate": lambda run: max(run.front.records, key=lambda r: (r.accuracy, -r.latency_s)),
}
RULE = (
    f'{", ".join(_CHOICES)}, a trial number, or conditions such as "latency<300us and accuracy>0.9" '
    "(the most accurate trial that meets them)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`objective` compared with `bound`, in the unit of the objective."""

    objective: Objective
    comparison: str
    bound: float

    def holds(self, record: TrialRecord) -> bool:
        return _COMPARISONS[self.comparison](getattr(record, self.objective.field), self.bound)


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """The conditions of "latency<300us and accuracy>=90%".

    Raises: ConfigError if one is not NAME, comparison, quantity.
    """
    conditions = []
    for part in re.split(r"\band\b", text):
        match = _CONDITION.fullmatch(part)
        if match is None or match[1] not in OBJECTIVES:
            raise ConfigError(
                f"A condition must be {', '.join(OBJECTIVES)}, then <, <=, > or >=, then a quantity, such as "
                f'"latency<300us"; got {part.strip()!r}.'
            )
        objective = OBJECTIVES[match[1]]
        conditions.append(
            Condition(objective=objective, comparison=match[2], bound=objective.parse(match[3]))
        )
    return tuple(conditions)


def pick_trial(run: Run, pick: str | int) -> TrialRecord:
    """The trial that `pick` names.

    Raises: ConfigError if `pick` is none of the forms; RunError if no trial fits; BudgetError for "best"
    where no trial meets the run's budgets.
    """
    text = str(pick).strip()
    if re.fullmatch(r"\d+", text):
        return run.trial(int(text))
    if text not in _CHOICES and not re.search(r"[<>≤≥]", text):
        raise ConfigError(f"A pick must be one of {RULE}; got {text!r}.")
    if not run.front.records:
        raise RunError(f"{run.path} has no finished trial to pick. Continue it with `mpsearch search`.")
    if text in _CHOICES:
        return _CHOICES[text](run)
    conditions = parse_conditions(text)
    fitting = [r for r in run.front.records if all(condition.holds(r) for condition in conditions)]
    if not fitting:
        raise RunError(
            f"A pick must fit a trial on the front; none of the {len(run.front)} meets {text!r}. "
            "`mpsearch pareto` lists them."
        )
    return max(fitting, key=lambda r: (r.accuracy, -r.latency_s, -r.number))
