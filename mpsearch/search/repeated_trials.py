"""Several trainings of one policy, with a seed each: one point of the front, scored by their mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.trial_record import TrialRecord


def pooled(records: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """One record a policy, in the order of numbers: complete trials of one policy become one.

    It is the record of the first of them, with the mean of score and loss, and all as its `trainings`. What
    has no score stays as it is. Of two trainings with the same seed the first counts: a second one tells
    nothing of the spread.
    """
    kept: dict[int, TrialRecord] = {}
    leads: dict[PrecisionPolicy, int] = {}
    for record in sorted(trainings_of(records), key=lambda record: record.number):
        number = leads.setdefault(record.policy, record.number) if record.is_complete else record.number
        kept[number] = joined(kept[number], record) if number in kept else record
    return tuple(kept.values())


class PolicyScores:
    """As `pooled`, of the complete trials alone, while they end one after the other."""

    def __init__(self, records: Iterable[TrialRecord] = ()) -> None:
        self._points: dict[PrecisionPolicy, TrialRecord] = {}
        for record in records:
            self.add(record)

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        return tuple(self._points.values())

    def of(self, policy: PrecisionPolicy) -> TrialRecord | None:
        """The pooled record of a policy; None where none of its trials has a score."""
        return self._points.get(policy)

    def is_repeat(self, record: TrialRecord) -> bool:
        """Whether a record that is to be added has a score, of a policy that has one already."""
        return record.is_complete and record.policy in self._points

    def add(self, record: TrialRecord) -> None:
        if record.is_complete:
            lead = self._points.get(record.policy)
            self._points[record.policy] = record if lead is None else joined(lead, record)


def joined(lead: TrialRecord, repeat: TrialRecord) -> TrialRecord:
    """The record of a policy with one more training; both have a score."""
    if repeat.seed in {training.seed for training in lead.every_training}:
        return lead
    trainings = (*lead.every_training, repeat)
    return replace(
        lead,
        score=fmean(training.accuracy for training in trainings),
        loss=fmean(training.loss for training in trainings if training.loss is not None),
        trainings=trainings,
    )


def trainings_of(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Every training that records were pooled of, in the order of numbers; `pooled` is its inverse."""
    found = [training for record in records for training in record.every_training]
    return sorted(found, key=lambda training: training.number)
