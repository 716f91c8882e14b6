"""A run's complete trials as columns: what the page's charts draw and its table lists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mpsearch.report.landmarks import landmarks
from mpsearch.report.precision_strip import precision_text
from mpsearch.search.run import Run

_FIGURES = 6  # digits that a chart can show


def rounded(value: float | None) -> float | None:
    """To six significant digits; None for what is unknown, since JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_FIGURES}g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumns:
    """One entry a complete trial, by number; `values` by the name of the objective, in its own unit.

    `strips` hold one letter a layer. `low` and `high` end the 95% interval of the accuracy, None where there
    is none; `test` is the score on the test split. `labels` and `kinds` are those of landmarks, else empty.
    """

    numbers: tuple[int, ...]
    strips: tuple[str, ...]
    values: dict[str, tuple[float | None, ...]]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    test: tuple[float | None, ...]
    feasible: tuple[bool, ...]
    front: tuple[bool, ...]
    labels: tuple[str, ...]
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, run: Run, layers: tuple[str, ...]) -> TrialColumns:
        records = [record for record in run.records if record.is_complete]
        intervals = [run.interval(record) for record in records]
        names = landmarks(run)
        on_front = set(run.front.numbers)
        known = [names.get(record.number) for record in records]
        return cls(
            numbers=tuple(record.number for record in records),
            strips=tuple(precision_text(record.policy, layers) for record in records),
            values={
                name: tuple(rounded(objective.of(record)) for record in records)
                for name, objective in run.quantities.items()
            },
            low=tuple(rounded(low) for low, _ in intervals),
            high=tuple(rounded(high) for _, high in intervals),
            test=tuple(rounded(run.test_scores.get(record.number)) for record in records),
            feasible=tuple(record.feasible for record in records),
            front=tuple(record.number in on_front for record in records),
            labels=tuple(landmark.label if landmark else "" for landmark in known),
            kinds=tuple(landmark.kind if landmark else "" for landmark in known),
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}
