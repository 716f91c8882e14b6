"""Policies that were trained with several seeds, in words."""

from __future__ import annotations

from collections.abc import Iterable

from mpsearch.report.units import counted, percent_text
from mpsearch.search.trial_record import TrialRecord


def seeds_text(record: TrialRecord) -> str:
    """As in "3 seeds"."""
    return counted(record.seeds, "seed")


def repeats_text(records: Iterable[TrialRecord]) -> str:
    """As in ", 3 of them repeats"; empty where each policy was trained once."""
    repeats = sum(record.seeds - 1 for record in records)
    return f", {repeats} of them {'a repeat' if repeats == 1 else 'repeats'}" if repeats else ""


def trainings_text(record: TrialRecord) -> str:
    """As in "seed 0", or "seeds 0 (97.10%), 1 (96.80%, trial 17)"."""
    if record.seeds == 1:
        return f"seed {record.seed}"
    each = (
        f"{training.seed} ({percent_text(training.accuracy)}"
        f"{'' if training.number == record.number else f', trial {training.number}'})"
        for training in record.trainings
    )
    return f"seeds {', '.join(each)}"
