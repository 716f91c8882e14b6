import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.search.uncertainty import score_interval


@given(score=st.floats(0, 1), samples=st.integers(1, 10**6))
def test_an_interval_holds_its_score_and_lies_between_0_and_1(score, samples):
    low, high = score_interval(score, samples)
    assert 0 <= low <= score <= high <= 1


def test_it_equals_the_textbooks_value():
    # 81 of 263: Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert score_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_four_times_the_samples_halve_its_width():
    narrow, wide = (high - low for low, high in (score_interval(0.9, n) for n in (4000, 1000)))
    assert wide / narrow == pytest.approx(2, rel=0.01)


def test_it_covers_the_truth_about_19_times_in_20():
    rng = random.Random(0)
    truth, samples, covered = 0.97, 450, 0
    for _ in range(1000):
        score = sum(rng.random() < truth for _ in range(samples)) / samples
        low, high = score_interval(score, samples)
        covered += low <= truth <= high
    assert 930 <= covered <= 975


@pytest.mark.parametrize(("score", "samples"), [(0.5, 0), (1.2, 10), (-0.1, 10), (float("nan"), 10)])
def test_what_is_no_share_of_samples_is_refused(score, samples):
    with pytest.raises(ConfigError, match=r"score in 0\.\.1 on at least one sample"):
        score_interval(score, samples)
