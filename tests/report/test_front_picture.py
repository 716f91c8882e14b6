from __future__ import annotations

from dataclasses import replace

import pytest

from mpsearch.errors import ConfigError
from mpsearch.report.front_picture import front_picture
from mpsearch.report.landmarks import landmarks
from mpsearch.search.budgets import Budgets


def test_every_complete_trial_is_a_mark_inside_of_the_picture(finished_run):
    picture = front_picture(finished_run)
    assert [m.number for m in picture.marks] == [r.number for r in finished_run.records if r.is_complete]
    assert all(0 <= mark.x <= 1 and 0 <= mark.y <= 1 for mark in picture.marks)
    assert {m.number for m in picture.marks if m.is_on_front} == set(finished_run.front.numbers)


def test_intervals_lie_around_their_marks_on_the_axis_of_the_accuracy(finished_run):
    for mark in front_picture(finished_run).marks:
        assert mark.x_ends is None
        assert mark.y_ends[0] < mark.y < mark.y_ends[1]
    turned = front_picture(finished_run, x="accuracy", y="memory")
    assert all(mark.y_ends is None and mark.x_ends[0] < mark.x < mark.x_ends[1] for mark in turned.marks)


def test_intervals_of_the_front_lie_inside_of_the_picture(finished_run):
    marks = [mark for mark in front_picture(finished_run).marks if mark.is_on_front]
    assert all(0 <= end <= 1 for mark in marks for end in mark.y_ends)


@pytest.mark.parametrize("axes", [("latency", "accuracy"), ("accuracy", "memory"), ("memory", "latency")])
def test_no_trial_lies_beyond_the_stairs(finished_run, axes):
    picture = front_picture(finished_run, *axes)
    better_x, better_y = (1 if name == "accuracy" else -1 for name in axes)
    for mark in picture.marks:
        beaten = [
            better_x * x >= better_x * mark.x and better_y * y >= better_y * mark.y for x, y in picture.stairs
        ]
        assert any(beaten)


def test_budgets_are_limits_where_the_picture_reaches_them(finished_run):
    assert front_picture(finished_run).x_limit is not None  # 70 us
    assert front_picture(finished_run.with_budgets(Budgets(latency_s=5.0))).x_limit is None
    assert front_picture(finished_run.with_budgets(Budgets(accuracy=0.95))).y_limit is not None


def test_axes_must_be_two_known_objectives(finished_run):
    with pytest.raises(ConfigError, match="two different axes"):
        front_picture(finished_run, "memory", "memory")
    with pytest.raises(ConfigError, match="'speed'"):
        front_picture(finished_run, "speed")


def test_a_trial_with_two_names_has_both(finished_run):
    best = finished_run.front.best().number
    anchor = next(
        r for r in finished_run.records if r.policy.uniform_scheme and r.number in finished_run.front
    )
    alone = replace(finished_run, records=(anchor,))
    label = landmarks(alone)[anchor.number].label
    assert label.startswith("knee")
    assert "32-bit" in label or "all " in label
    assert landmarks(finished_run)[best].kind in {"knee", "best"}


def test_budgets_that_nothing_meets_name_no_best(finished_run):
    hopeless = finished_run.with_budgets(Budgets(memory_bytes=1))
    assert not any("best" in landmark.label for landmark in landmarks(hopeless).values())
