"""Where the time of a policy goes: layer by layer, and what belongs to no layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mpsearch.report.landmarks import landmarks
from mpsearch.report.page.trial_columns import rounded
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

MOST_POLICIES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Predicted seconds of some trials: the front's and those with a name.

    `parts[i]` has one entry a layer in the order of the page's layers; `rest` is what belongs to no layer.
    `chosen`: the trials that the chart shows before the reader picks others, the dearest first.
    """

    numbers: tuple[int, ...]
    parts: tuple[tuple[float | None, ...], ...]
    rest: tuple[float | None, ...]
    chosen: tuple[int, ...]

    @classmethod
    def of(cls, run: Run, layers: tuple[str, ...]) -> Breakdown:
        shown = _shown(run)
        reports = [run.cost_report(record.policy) for record in shown]
        by_name = [{layer.name: layer.latency_s for layer in report.layers} for report in reports]
        return cls(
            numbers=tuple(record.number for record in shown),
            parts=tuple(tuple(rounded(costs[layer]) for layer in layers) for costs in by_name),
            rest=tuple(rounded(report.remainder_latency_s) for report in reports),
            chosen=_chosen(run),
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _shown(run: Run) -> list[TrialRecord]:
    """Trials with a name first, then the front, as far as a page can carry."""
    named = [run.trial(number) for number in landmarks(run)]
    rest = [record for record in run.front.records if record not in named]
    return [*named, *rest][:MOST_POLICIES]


def _chosen(run: Run) -> tuple[int, ...]:
    """Landmarks, and the ends of the front: fastest, smallest, most accurate."""
    front = run.front.records
    if not front:
        return ()
    ends = [
        min(front, key=lambda r: r.latency_s).number,
        min(front, key=lambda r: r.memory_bytes).number,
        max(front, key=lambda r: (r.accuracy, -r.latency_s)).number,
    ]
    numbers = dict.fromkeys([*landmarks(run), *ends])
    return tuple(sorted(numbers, key=lambda number: -run.trial(number).latency_s))
