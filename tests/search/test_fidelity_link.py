"""From a score after a part of the steps to what it lets expect in full."""

import math

import numpy as np
import pytest

from mpsearch.search.fidelity_link import Pair, fidelity_link


def pairs_of(count, intercept=-1.0, slope=0.8, noise=0.1, seed=0):
    generator = np.random.default_rng(seed)
    lower = generator.normal(0, 1, count)
    full = intercept + slope * lower + noise * generator.standard_normal(count)
    return [Pair(lower=a, full=b) for a, b in zip(lower.tolist(), full.tolist(), strict=True)]


def test_without_trials_the_score_in_full_is_that_of_the_lower_fidelity_and_uncertain():
    link = fidelity_link([])
    mean, variance = link.expected(0.7)
    assert mean == pytest.approx(0.7)
    assert math.sqrt(variance) > 1
    assert (link.trials, link.correlation) == (0, None)


def test_many_trials_teach_the_line_and_its_residual():
    link = fidelity_link(pairs_of(400))
    assert link.mean == pytest.approx([-1.0, 0.8], abs=0.03)
    assert math.sqrt(link.variance) == pytest.approx(0.1, rel=0.15)
    assert link.correlation > 0.98


def test_each_trial_makes_it_more_certain():
    variances = [fidelity_link(pairs_of(count)).expected(0.0)[1] for count in (0, 1, 3, 10, 100)]
    assert variances == sorted(variances, reverse=True)


def test_one_trial_that_gained_much_moves_what_is_expected_of_the_next():
    gained = fidelity_link([Pair(lower=0.0, full=-2.0)])
    assert gained.expected(0.0)[0] == pytest.approx(-2.0, abs=0.15)


def test_what_is_expected_covers_what_comes():
    inside = 0
    for seed in range(200):
        *known, new = pairs_of(12, seed=seed, noise=0.3)
        mean, variance = fidelity_link(known).expected(new.lower)
        inside += abs(new.full - mean) <= 1.96 * math.sqrt(variance)
    assert 180 <= inside <= 200
