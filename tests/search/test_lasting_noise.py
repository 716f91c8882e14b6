"""Which part of the noise comes again with another seed: learnt from policies that were trained again."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mpsearch.search.lasting_noise import lasting_part

POLICIES, SEEDS = 20, 3
SAME = np.kron(np.eye(POLICIES), np.ones((SEEDS, SEEDS)))
NOISE = np.eye(POLICIES * SEEDS)
SHARED = SAME - NOISE


def drawn(part, seed=0):
    generator = np.random.default_rng(seed)
    lasting = np.repeat(generator.standard_normal(POLICIES), SEEDS)
    return np.sqrt(part) * lasting + np.sqrt(1 - part) * generator.standard_normal(POLICIES * SEEDS)


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.99])
def test_without_repeats_every_part_is_as_likely_as_before(quantile):
    part, gained = lasting_part(np.arange(5.0), np.eye(5), np.zeros((5, 5)), quantile)
    assert (part, gained) == (pytest.approx(np.sqrt(quantile)), 0.0)


@pytest.mark.parametrize("true", [0.0, 0.5, 0.95])
def test_the_part_that_seeds_share_is_found(true):
    low, middle, high = (
        lasting_part(drawn(true), NOISE, SHARED, quantile)[0] for quantile in (0.02, 0.5, 0.98)
    )
    assert low <= max(true, 0.1) <= high
    assert low < middle < high < low + 0.6


def test_the_evidence_is_that_of_the_normal_density_averaged_over_the_prior():
    generator = np.random.default_rng(1)
    loading = generator.standard_normal((len(NOISE), 4))
    covariance, y = loading @ loading.T + NOISE, loading @ np.ones(4) + drawn(0.7)
    squares = (np.arange(16) + 0.5) / 16
    densities = [
        multivariate_normal(cov=covariance + np.sqrt(square) * SHARED).logpdf(y) for square in (0.0, *squares)
    ]
    expected = np.log(np.mean(np.exp(np.array(densities[1:]) - densities[0])))
    assert lasting_part(y, covariance, SHARED, 0.5)[1] == pytest.approx(expected)
