"""The arithmetic of how long a search takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.estimate import (
    Span,
    TimedTrial,
    TimeEstimate,
    TimePart,
    Workforce,
    profile_span,
    steps_range,
    trial_span,
    trials_span,
)
from mpsearch.training.recipe import TrialRecipe

LAYERS = ("a", "b")
RECIPE = TrialRecipe(steps=100, high_bit_steps=10)


def uniform(scheme: str) -> PrecisionPolicy:
    return PrecisionPolicy.uniform(LAYERS, SCHEMES[scheme])


def timed(scheme: str, step_s: float, around_s: float) -> TimedTrial:
    return TimedTrial(policy=uniform(scheme), step_s=Span.exactly(step_s), around_s=Span.exactly(around_s))


TIMED = (timed("w1a1", 0.02, 1.0), timed("w8a8", 0.01, 0.5))


def test_spans_add_end_by_end():
    total = Span(least_s=1, likely_s=2, most_s=4) + Span.exactly(3)
    assert total == Span(least_s=4, likely_s=5, most_s=7)
    assert total.times(2) == Span(least_s=8, likely_s=10, most_s=14)


def test_a_trial_takes_its_regimes_steps_at_the_speed_of_policies_like_it():
    assert trial_span(uniform("w8a8"), RECIPE, TIMED).likely_s == pytest.approx(10 * 0.01 + 0.5)
    assert trial_span(uniform("w1a1"), RECIPE, TIMED).likely_s == pytest.approx(100 * 0.02 + 1.0)


def test_a_policy_of_32_bit_layers_takes_no_time():
    assert trial_span(uniform("w32a32"), RECIPE, TIMED) == Span.exactly(0)


def test_a_regime_that_was_not_timed_is_taken_at_the_speed_of_the_other():
    span = trial_span(uniform("w1a1"), RECIPE, TIMED[1:])
    assert span.likely_s == pytest.approx(100 * 0.01 + 0.5)


def test_the_uniform_policies_count_once_and_the_rest_as_their_average():
    anchors = [uniform("w32a32"), uniform("w8a8")]
    others = [uniform("w8a8"), uniform("w1a1")]
    first, rest = trials_span(anchors=anchors, others=others, trials=12, recipe=RECIPE, timed=TIMED)
    assert first.likely_s == pytest.approx(0.6)
    assert rest.likely_s == pytest.approx(10 * (0.6 + 3.0) / 2)
    assert rest.least_s == pytest.approx(10 * 0.6)
    assert rest.most_s == pytest.approx(10 * 3.0)


def test_uniform_policies_train_at_every_fidelity_and_the_rest_at_one_to_all_of_them():
    recipe = replace(RECIPE, fidelities=(0.0, 0.5, 1.0), reduction=2)
    one = [uniform("w1a1")]
    first, rest = trials_span(anchors=one, others=one, trials=2, recipe=recipe, timed=TIMED)
    assert first.likely_s == pytest.approx(150 * 0.02 + 3 * 1.0)
    assert rest.least_s == pytest.approx(1.0)
    assert rest.likely_s == pytest.approx((50 / 2 + 100 / 4) * 0.02 + 1.75)
    assert rest.most_s == first.likely_s
    assert steps_range(one, recipe, may_stop=True) == (0, 150)
    assert steps_range(one, recipe, may_stop=False) == (150, 150)


def test_fewer_trials_than_uniform_policies_leave_none_for_the_sampler():
    anchors = [uniform("w8a8"), uniform("w4a8"), uniform("w1a1")]
    first, rest = trials_span(anchors=anchors, others=anchors, trials=1, recipe=RECIPE, timed=TIMED)
    assert first.likely_s == pytest.approx(0.6)
    assert rest == Span.exactly(0)


@pytest.mark.parametrize(
    ("workers", "threads", "cpus", "lanes"),
    [(1, 1, 8, 1), (4, 1, 8, 4), (4, 2, 4, 2), (8, 1, 2, 2), (2, 4, 2, 1)],
)
def test_workers_help_as_far_as_there_are_processors_and_never_more_than_their_number(
    workers, threads, cpus, lanes
):
    force = Workforce(workers=workers, threads=threads, cpus=cpus)
    least, likely, most = force.gain
    assert force.lanes == lanes
    assert most == lanes
    assert 1 <= least <= likely <= most
    work = force.divide(Span.exactly(12.0))
    assert work.least_s == pytest.approx(12 / lanes)
    assert work.least_s <= work.likely_s <= work.most_s <= 12


def test_the_total_is_the_sum_of_the_parts():
    parts = [
        TimePart(name=str(n), span=Span(least_s=n, likely_s=2 * n, most_s=3 * n), detail="") for n in (1, 2)
    ]
    estimate = TimeEstimate(parts=tuple(parts), workforce=Workforce(workers=1, threads=1, cpus=1), trials=1)
    assert estimate.total == Span(least_s=3, likely_s=6, most_s=9)


def test_a_profile_takes_its_turns_for_every_policy_and_more_where_it_is_noisy():
    span = profile_span(policies=10, build_s=0.1, pass_s=1e-3, turns=5, turn_s=6e-3)
    assert span.likely_s == pytest.approx(10 * (0.1 + 5 * 14e-3))
    assert span.most_s == pytest.approx(3 * span.likely_s)
    short = profile_span(policies=10, build_s=0.1, pass_s=1e-6, turns=5, turn_s=6e-3)
    assert short.likely_s == pytest.approx(10 * (0.1 + 5 * 6e-3))
