import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.search.repeated_trials import pooled
from mpsearch.search.score_difference import (
    baseline_difference,
    baseline_interval,
    difference_interval,
    score_difference,
    trial_difference,
)
from mpsearch.search.uncertainty import score_interval


def spread(first, second, samples):
    return difference_interval(first, score_interval(first, samples), second, score_interval(second, samples))


def test_it_is_newcombes_tenth_method():
    # 56/70 against 48/80 of Newcombe 1998, table II, (a): 0.0524 to 0.3339.
    low, high = difference_interval(
        48 / 80, score_interval(48 / 80, 80), 56 / 70, score_interval(56 / 70, 70)
    )
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 100_000))
def test_the_difference_lies_inside_and_turns_with_the_order(first, second, samples):
    low, high = spread(first, second, samples)
    assert low <= second - first <= high
    assert spread(second, first, samples) == (pytest.approx(-high), pytest.approx(-low))


def test_more_samples_turn_noise_into_a_difference():
    assert not score_difference(0.95, 0.97, 100).is_clear
    assert score_difference(0.95, 0.97, 10_000).is_clear


def test_what_is_unknown_is_never_called_a_difference():
    found = score_difference(math.nan, 0.9, 100)
    assert not found.is_known
    assert not found.is_clear


def test_the_baseline_has_an_interval_too(finished_run):
    low, high = baseline_interval(finished_run)
    assert low < finished_run.baseline.score < high


def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    samples, truth = 300, (0.93, 0.9)
    hits = generator.binomial(samples, truth, size=(1500, 2)) / samples
    found = [score_difference(first, second, samples) for first, second in hits]
    covered = np.mean([d.low <= truth[1] - truth[0] <= d.high for d in found])
    assert 0.93 < covered < 0.985


def test_a_difference_is_clear_only_beyond_the_noise_and_turns_with_its_sides():
    assert not score_difference(0.98, 0.99, 449).is_clear
    assert score_difference(0.9, 0.98, 5000).is_clear
    one, other = score_difference(0.9, 0.98, 500), score_difference(0.98, 0.9, 500)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_scores_that_are_no_shares_have_no_interval():
    found = score_difference(1.5, 2.5, 100)
    assert found.change == 1.0
    assert math.isnan(found.low)
    assert not found.is_clear


@pytest.fixture
def repeated_run(finished_run):
    """A function: the run, whose trial 1 was trained again with other seeds, which scored so."""
    records = {record.number: record for record in finished_run.records}

    def build(*changes):
        lead = records[1]
        repeats = [
            replace(lead, number=100 + seed, seed=seed, origin="repeat", score=lead.score + change)
            for seed, change in enumerate(changes, start=1)
        ]
        return replace(finished_run, records=pooled([*finished_run.records, *repeats]))

    return build


def width(difference):
    return difference.high - difference.low


def test_without_repeats_two_trials_differ_by_what_their_samples_say(finished_run):
    first, second = finished_run.trial(1), finished_run.trial(2)
    found = trial_difference(finished_run, first, second)
    assert found == score_difference(first.accuracy, second.accuracy, finished_run.validation_samples)
    assert not found.of_seeds


def test_seeds_that_differ_widen_every_difference_and_more_seeds_narrow_that_of_their_policy(repeated_run):
    steady, moved = repeated_run(0.0), repeated_run(0.1)
    widths = [width(trial_difference(run, run.trial(1), run.trial(2))) for run in (steady, moved)]
    assert widths[0] < widths[1]
    assert trial_difference(moved, moved.trial(1), moved.trial(2)).of_seeds
    to_baseline = [width(baseline_difference(moved, moved.trial(number))) for number in (1, 2)]
    assert to_baseline[0] < to_baseline[1]


def test_a_difference_to_another_run_takes_the_seeds_of_each(repeated_run, finished_run):
    moved = repeated_run(0.1)
    here, there = moved.trial(2), finished_run.trial(2)
    found = trial_difference(moved, here, there, other=finished_run)
    low, high = difference_interval(
        here.accuracy, moved.interval(here), there.accuracy, finished_run.interval(there)
    )
    assert (found.low, found.high) == (low, high)
    assert found.of_seeds
