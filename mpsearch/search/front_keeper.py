"""The front while it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.knee import knee_index
from mpsearch.search.front import box_shares, points_of
from mpsearch.search.objective import Objective, minimised
from mpsearch.search.run import normalised_hypervolume
from mpsearch.search.trial_record import TrialRecord


class FrontKeeper:
    """The non-dominated records of all that were added; each addition looks at the front only."""

    def __init__(
        self,
        objectives: tuple[Objective, ...],
        reference: Mapping[str, float],
        records: Iterable[TrialRecord] = (),
    ) -> None:
        self._objectives = objectives
        self._reference = reference
        self.records = self._non_dominated([record for record in records if record.is_complete])

    @property
    def numbers(self) -> set[int]:
        return {record.number for record in self.records}

    @property
    def hypervolume(self) -> float:
        """As `Run.hypervolume`."""
        return normalised_hypervolume(tuple(self.records), self._objectives, self._reference)

    def knee(self, is_wanted: Callable[[TrialRecord], bool]) -> int | None:
        """The number of the trial that `Front.knee` names; None while the front is empty."""
        met = [record for record in self.records if is_wanted(record)]
        candidates = met or self.records
        if not candidates:
            return None
        index = knee_index(box_shares(candidates, self._objectives, self._reference))
        return candidates[index].number

    def with_record(self, record: TrialRecord) -> list[TrialRecord]:
        """The front if that record joined; nothing is changed."""
        return self._non_dominated([*self.records, record]) if record.is_complete else self.records

    def _non_dominated(self, records: list[TrialRecord]) -> list[TrialRecord]:
        kept = non_dominated(minimised(points_of(records, self._objectives), self._objectives))
        return [record for record, keep in zip(records, kept, strict=True) if keep]
