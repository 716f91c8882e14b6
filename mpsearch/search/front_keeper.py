"""The front while it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Self

from mpsearch.pareto.dominance import dominates, non_dominated
from mpsearch.pareto.knee import knee_index
from mpsearch.search.budgets import Budgets
from mpsearch.search.constrained import least_excess, total_excess
from mpsearch.search.front import box_shares, points_of
from mpsearch.search.objective import Objective, minimised
from mpsearch.search.overrides import Overrides
from mpsearch.search.reference_point import normalised_hypervolume
from mpsearch.search.trial_record import TrialRecord


class FrontKeeper:
    """The non-dominated records of all that were added; each addition looks at the front only.

    As in `Front`, only trials that the overrides allow compete, where there are any, and only those within
    `deciding`, the `deciding_budgets`. `lasting` are those that nothing beats with or without the overrides:
    they are the front again once these are lifted.
    """

    def __init__(
        self,
        objectives: tuple[Objective, ...],
        reference: Mapping[str, float],
        records: Iterable[TrialRecord] = (),
        overrides: Overrides | None = None,
        deciding: Budgets | None = None,
    ) -> None:
        self._deciding = deciding
        self._objectives = objectives
        self._reference = reference
        self._overrides = overrides or Overrides()
        complete = [record for record in records if record.is_complete]
        self._of_all = self._non_dominated(complete)
        self._of_allowed = self._non_dominated(self._allowed(complete))

    @property
    def records(self) -> list[TrialRecord]:
        return self._of_allowed or self._of_all

    @property
    def numbers(self) -> set[int]:
        return {record.number for record in self.records}

    @property
    def lasting(self) -> set[int]:
        return {record.number for record in (*self._of_all, *self._of_allowed)}

    @cached_property
    def hypervolume(self) -> float:
        """As `Run.hypervolume`."""
        if not self._are_within(self.records):
            return 0.0
        return normalised_hypervolume(tuple(self.records), self._objectives, self._reference)

    def knee(self, is_wanted: Callable[[TrialRecord], bool]) -> int | None:
        """The number of the trial that `Front.knee` names; None while the front is empty."""
        met = [record for record in self.records if is_wanted(record)]
        candidates = met or self.records
        if not candidates:
            return None
        index = knee_index(box_shares(candidates, self._objectives, self._reference))
        return candidates[index].number

    def with_record(self, record: TrialRecord) -> Self:
        """The front if that record joined, itself where the record is beaten; nothing is changed."""
        if not record.is_complete:
            return self
        of_all, of_allowed = self._joined(self._of_all, record), self._of_allowed
        if self._overrides.allows(record.policy):
            of_allowed = self._joined(of_allowed, record)
        if of_all is self._of_all and of_allowed is self._of_allowed:
            return self
        joined = type(self)(self._objectives, self._reference, (), self._overrides, self._deciding)
        joined._of_all, joined._of_allowed = of_all, of_allowed
        return joined

    def _joined(self, members: list[TrialRecord], record: TrialRecord) -> list[TrialRecord]:
        """`members` and the record without those that are beaten; `members` itself if that is the record."""
        if self._deciding is not None and members:
            excess, least = (total_excess(r, self._deciding) for r in (record, members[0]))
            if excess != least:
                return members if excess > least else [record]
        points = minimised(points_of([*members, record], self._objectives), self._objectives)
        others, new = points[:-1], points[-1]
        if dominates(others, new).any():
            return members
        beaten = dominates(new, others)
        return [*(member for member, is_beaten in zip(members, beaten, strict=True) if not is_beaten), record]

    def _are_within(self, records: list[TrialRecord]) -> bool:
        return self._deciding is None or not records or total_excess(records[0], self._deciding) <= 0

    def _allowed(self, records: list[TrialRecord]) -> list[TrialRecord]:
        return [record for record in records if self._overrides.allows(record.policy)]

    def _non_dominated(self, records: list[TrialRecord]) -> list[TrialRecord]:
        records = records if self._deciding is None else list(least_excess(records, self._deciding))
        kept = non_dominated(minimised(points_of(records, self._objectives), self._objectives))
        return [record for record, keep in zip(records, kept, strict=True) if keep]
