"""Which trial a key or a click means."""

from __future__ import annotations

import random

import pytest

from mpsearch.report.inspector.spots import Spot, beside, nearest, stepped, walk_order


def spot(number, x, y, front=True):
    return Spot(number=number, x=x, y=y, is_on_front=front)


SPOTS = [spot(7, 0.1, 0.2), spot(3, 0.5, 0.6), spot(9, 0.9, 0.9), spot(4, 0.5, 0.3, front=False)]
FRONT = (7, 3, 9)


def test_the_walk_goes_from_left_to_right_and_up_within_a_column():
    assert walk_order(SPOTS) == (7, 4, 3, 9)


@pytest.mark.parametrize(
    ("start", "by", "end"), [(7, 1, 3), (3, -1, 7), (9, 1, 9), (7, -1, 7), (7, 2, 9), (9, -5, 7)]
)
def test_steps_along_the_front_end_at_its_ends(start, by, end):
    assert stepped(SPOTS, FRONT, start, by) == end


@pytest.mark.parametrize(("by", "end"), [(1, 3), (-1, 7)])
def test_the_first_step_from_beside_the_front_is_to_the_nearest_on_that_side(by, end):
    assert stepped(SPOTS, FRONT, 4, by) == end


def test_a_step_without_a_cursor_begins_at_an_end_and_without_a_front_stays():
    assert stepped(SPOTS, FRONT, None, 1) == 7
    assert stepped(SPOTS, FRONT, None, -1) == 9
    assert stepped(SPOTS, (), 4, 1) == 4


def test_up_and_down_go_to_the_nearest_trial_there():
    assert beside(SPOTS, 4, "up", aspect=1.0) == 3
    assert beside(SPOTS, 3, "down", aspect=1.0) == 4
    assert beside(SPOTS, 9, "up", aspect=1.0) == 9
    assert beside(SPOTS, 999, "up", aspect=1.0) == 999


def test_trials_at_one_place_are_passed_one_after_the_other():
    same = [spot(number, 0.5, 0.5) for number in (2, 5, 8)]
    assert beside(same, 2, "up", aspect=1.0) == 5
    assert beside(same, 5, "up", aspect=1.0) == 8
    assert beside(same, 8, "down", aspect=1.0) == 5


def test_a_click_picks_the_nearest_trial_by_the_shape_of_cells():
    assert nearest(SPOTS, 5, 8, width=100, height=10) == 7
    assert nearest(SPOTS, 99, 0, width=100, height=10) == 9
    assert nearest([], 5, 5, width=100, height=10) is None
    # Four columns are as far as two rows: a cell is about twice as high as wide.
    pair = [spot(1, 0.545, 0.55, front=False), spot(2, 0.505, 0.75, front=False)]
    assert nearest(pair, 50, 4, width=100, height=10) in {1, 2}
    assert nearest(pair, 51, 4, width=100, height=10) == 1
    assert nearest(pair, 49, 3, width=100, height=10) == 2


def test_where_two_are_about_as_near_a_click_means_the_one_on_the_front():
    pair = [spot(1, 0.505, 0.55, front=False), spot(2, 0.515, 0.55)]
    assert nearest(pair, 50, 4, width=100, height=10) == 2


def test_every_shown_trial_can_be_reached_by_walking_all():
    rng = random.Random(0)
    spots = [spot(number, rng.random(), rng.random(), rng.random() < 0.3) for number in range(200)]
    order, seen = walk_order(spots), []
    current = order[0]
    for _ in order:
        seen.append(current)
        current = stepped(spots, order, current, 1)
    assert sorted(seen) == list(range(200))
