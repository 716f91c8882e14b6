from dataclasses import replace

import pytest

from mpsearch.search.history import run_history


def _timed(run, seconds_and_ends):
    records = tuple(
        replace(record, seconds=seconds, ended=f"2026-01-01T{end}+00:00")
        for record, (seconds, end) in zip(run.records, seconds_and_ends, strict=False)
    )
    return replace(run, records=records)


def test_it_ends_with_the_runs_own_hypervolume(finished_run):
    points = run_history(finished_run)
    assert [point.trials for point in points] == list(range(1, len(finished_run.records) + 1))
    assert points[-1].hypervolume == pytest.approx(finished_run.hypervolume)


def test_hypervolume_never_shrinks(finished_run):
    grown = [point.hypervolume for point in run_history(finished_run)]
    assert grown == sorted(grown)


def test_a_pause_between_two_calls_counts_nothing(finished_run):
    run = _timed(finished_run, [(4.0, "00:00:04"), (4.0, "00:00:08"), (4.0, "09:00:00")])
    assert [point.search_s for point in run_history(run)] == pytest.approx([4, 8, 12])


def test_time_that_two_trials_share_counts_once(finished_run):
    run = _timed(finished_run, [(4.0, "00:00:04"), (4.0, "00:00:05"), (2.0, "00:00:05")])
    assert [point.search_s for point in run_history(run)] == pytest.approx([4, 5, 5])


def test_trials_are_taken_in_the_order_in_which_they_ended(finished_run):
    run = _timed(finished_run, [(4.0, "00:00:09"), (4.0, "00:00:05")])
    assert [point.number for point in run_history(run)] == [1, 0]
