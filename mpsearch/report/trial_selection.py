"""Which trials a table lists, and in what order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpsearch.errors import ConfigError
from mpsearch.search.objective import AT, OBJECTIVES, Objective
from mpsearch.search.run import Run
from mpsearch.search.trial_filter import TrialFilter
from mpsearch.search.trial_record import TrialRecord


def _by_objective(objective: Objective) -> Callable[[Run, TrialRecord], float]:
    return lambda _run, record: objective.sign * objective.of(record)


def _by_measured(run: Run, record: TrialRecord) -> float:
    measured = run.measured.get(record.number)
    return math.nan if measured is None else measured.latency_s


# Name -> the value by which trials rise; what is best comes first.
_KEYS: dict[str, Callable[[Run, TrialRecord], float]] = {
    **{name: _by_objective(objective) for name, objective in OBJECTIVES.items()},
    "test": lambda run, record: -run.test_scores.get(record.number, math.nan),
    "measured": _by_measured,
    "width": lambda _run, record: math.nan if record.policy.width is None else record.policy.width,
    "trial": lambda _run, record: record.number,
}
SORT_NAMES: tuple[str, ...] = tuple(_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSelection:
    """`filter` keeps trials, `sort` orders them best first (one of SORT_NAMES, or a cost on a further
    device), `top` takes that many.

    `is_of_all`: from all scored trials, not only those of the front.

    Raises: ConfigError if `sort` is no such name or `top` is below 1.
    """

    filter: TrialFilter | None = None
    sort: str | None = None
    top: int | None = None
    is_of_all: bool = False

    def __post_init__(self) -> None:
        if self.sort is not None and self.sort not in _KEYS and AT not in self.sort:
            raise ConfigError(f"Trials can be sorted by {', '.join(SORT_NAMES)}; got {self.sort!r:.80}.")
        if self.top is not None and self.top < 1:
            raise ConfigError(f"--top must be at least 1; got {self.top}. Leave it out to see all.")

    def keeps(self, run: Run, record: TrialRecord) -> bool:
        """Whether the filter does."""
        return self.filter is None or self.filter.keeps(run, record)

    def of(self, run: Run, records: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
        """Those of `records` that it asks for; unknown values come last, equal ones keep their order."""
        found = [record for record in records if self.keeps(run, record)]
        if self.sort is not None:
            key = _KEYS.get(self.sort) or _by_objective(self._on_device(run, self.sort))
            found.sort(key=lambda record: (math.isnan(value := key(run, record)), value))
        return tuple(found[: self.top])

    @staticmethod
    def _on_device(run: Run, name: str) -> Objective:
        if name not in run.quantities:
            known = [*SORT_NAMES, *(cost for cost in run.quantities if AT in cost)]
            raise ConfigError(f"Trials of this run can be sorted by {', '.join(known)}; got {name!r:.80}.")
        return run.quantities[name]

    def __str__(self) -> str:
        parts = [] if self.filter is None else [f"where {self.filter}"]
        if self.sort is not None:
            parts.append(f"sorted by {self.sort}")
        if self.top is not None:
            parts.append(f"the first {self.top}")
        return ", ".join(parts)
