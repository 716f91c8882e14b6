"""Rate and time left, by a clock that the tests turn."""

from __future__ import annotations

import dataclasses

import pytest

from mpsearch.report.pace import Estimate, Pace, about_text


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trial(finished_run):
    """A function: a trial of that origin that took so many seconds."""
    sampled = finished_run.records[-2]

    def build(seconds, *, origin="sampler", steps=200, number=0):
        return dataclasses.replace(sampled, number=number, seconds=seconds, origin=origin, steps=steps)

    return build


def finish(pace, clock, trials, *, idle_s=0.0):
    for record in trials:
        clock.now += record.seconds + idle_s
        pace.finish(record)


def test_nothing_is_known_before_a_trial_was_trained(clock, trial):
    pace = Pace(clock=clock, total=10)
    assert pace.estimate() is None
    assert pace.trials_per_hour is None
    finish(pace, clock, [trial(0.01, origin="anchor", steps=0)])  # 32-bit: scored, not trained
    assert pace.estimate() is None
    assert pace.trials_per_hour is None


def test_equal_trials_make_a_sure_estimate(clock, trial):
    pace = Pace(clock=clock, total=10)
    finish(pace, clock, [trial(6.0)] * 4)
    assert pace.trials_per_hour == pytest.approx(600)
    left = pace.estimate()
    assert (left.low_s, left.left_s, left.high_s) == pytest.approx((36, 36, 36))


def test_what_lies_between_trials_counts_too(clock, trial):
    pace = Pace(clock=clock, total=10)
    finish(pace, clock, [trial(6.0)] * 4, idle_s=2.0)
    assert pace.trials_per_hour == pytest.approx(450)
    assert pace.estimate().left_s == pytest.approx(6 * 8.0)


def test_the_steps_of_running_trials_shorten_what_is_left(clock, trial):
    pace = Pace(clock=clock, total=10)
    finish(pace, clock, [trial(6.0)] * 4)
    assert pace.estimate([0.5]).left_s == pytest.approx(5.5 * 6)


def test_only_recent_trials_count(clock, trial):
    pace = Pace(clock=clock, total=100)
    finish(pace, clock, [trial(60.0)] * 20)
    finish(pace, clock, [trial(6.0)] * 20)
    assert pace.trials_per_hour == pytest.approx(600)


def test_a_pause_between_two_calls_counts_for_nothing(clock, trial):
    pace = Pace(clock=clock, total=10, earlier=[trial(6.0)] * 4)
    assert pace.estimate().left_s == pytest.approx(36)
    assert pace.trials_per_hour is None  # of this call
    finish(pace, clock, [trial(3.0)] * 3)
    assert pace.trials_per_hour == pytest.approx(1200)
    assert pace.estimate().left_s == pytest.approx(3 * 3.0)


def test_two_workers_halve_the_time(clock, trial):
    pace = Pace(clock=clock, total=12, workers=2)
    for _ in range(4):
        clock.now += 6.0
        pace.finish(trial(6.0))
        pace.finish(trial(6.0))
    assert pace.trials_per_hour == pytest.approx(1200)
    assert pace.estimate().left_s == pytest.approx(12)
    assert pace.estimate([0.5, 0.0, 0.0]).left_s > pace.estimate([0.5, 0.5, 0.5]).left_s


def test_the_start_of_several_workers_does_not_count(clock, trial):
    pace = Pace(clock=clock, total=12, workers=2)
    clock.now += 50.0
    finish(pace, clock, [trial(6.0)] * 5)
    assert pace.trials_per_hour >= 600


def test_uniform_policies_alone_make_a_wide_range_and_trials_of_the_sampler_replace_them(clock, trial):
    pace = Pace(clock=clock, total=12)
    finish(
        pace, clock, [trial(1.0, origin="anchor"), trial(1.0, origin="anchor"), trial(9.0, origin="anchor")]
    )
    rough = pace.estimate()
    assert rough.low_s <= 9 * 1.0
    assert rough.high_s >= 9 * 9.0
    finish(pace, clock, [trial(5.0)] * 3)
    assert pace.estimate().left_s == pytest.approx(6 * 5.0)


def test_more_trials_narrow_the_range(clock, trial):
    pace = Pace(clock=clock, total=100)
    widths = []
    for _ in range(3):
        finish(pace, clock, [trial(4.0), trial(6.0)] * 2)
        left = pace.estimate()
        assert left.low_s < left.left_s < left.high_s
        widths.append((left.high_s - left.low_s) / left.left_s)
    assert widths == sorted(widths, reverse=True)


def test_a_limit_of_time_bounds_the_estimate(clock, trial):
    pace = Pace(clock=clock, total=10, limit_s=40)
    finish(pace, clock, [trial(6.0)] * 4)
    left = pace.estimate()
    assert left.is_limit
    assert left.left_s == pytest.approx(16)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((17.2, 16.9, 17.4), "≈ 17 s"),
        ((17, 12, 25), "≈ 17 s (12–25)"),
        ((252, 186, 360), "≈ 4.2 min (3.1–6)"),
        ((7560, 6480, 9360), "≈ 2.1 h (1.8–2.6)"),
        ((3 * 86400, 3 * 86400, 3 * 86400), "≈ 3 days"),
        ((0, 0, 0), "≈ 0 s"),
    ],
)
def test_an_estimate_reads_as_people_say_it(estimate, text):
    left, low, high = estimate
    assert about_text(Estimate(left_s=left, low_s=low, high_s=high)) == text
