"""Repeats in words, on each screen that counts trials or scores."""

from dataclasses import replace

import pytest

from mpsearch.report.seeds_text import repeats_text, seeds_text, trainings_text
from mpsearch.search.repeated_trials import pooled


@pytest.fixture
def repeated(finished_run):
    """The records of a run whose trial 1 was trained with two more seeds."""
    lead = finished_run.trial(1)
    repeats = [replace(lead, number=100 + seed, seed=seed, origin="repeat", score=0.5) for seed in (1, 2)]
    return pooled([*finished_run.records, *repeats])


def test_repeats_are_told_only_where_there_are_some(finished_run, repeated):
    assert repeats_text(finished_run.records) == ""
    assert repeats_text(repeated) == ", 2 of them repeats"
    assert repeats_text(pooled(training for r in repeated for training in r.every_training[:2])) == (
        ", 1 of them a repeat"
    )


def test_every_training_is_told_with_its_seed_score_and_number(repeated):
    point = next(record for record in repeated if record.number == 1)
    assert seeds_text(point) == "3 seeds"
    assert trainings_text(point).endswith(", 1 (50.00%, trial 101), 2 (50.00%, trial 102)")
