"""Deviations by importance sampling, against a grid over all of them."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mpsearch.search.hyperparameters import GaussianData, Hyperparameters, hyperparameter_draws


def data_of(seed, count=8):
    generator = np.random.default_rng(seed)
    x = generator.random(count)
    terms = np.exp(-((x[:, None] - x) ** 2) / 0.1)[None]
    return GaussianData(
        y=np.sin(6 * x) + 0.2 * generator.standard_normal(count),
        terms=terms,
        constant=0.5,
        floor=np.full(count, 0.01),
        medians=np.array([1.0, 0.3]),
        log_covariance=np.array([[0.5, 0.2], [0.2, 0.8]]),
    )


def test_evidence_is_the_density_of_the_scores():
    data = data_of(0)
    deviations = np.array([[1.0, 0.3], [0.2, 2.0]])
    wanted = [
        multivariate_normal.logpdf(data.y, cov=d**2 * data.terms[0] + 0.5 + (0.01 + noise**2) * np.eye(8))
        for d, noise in deviations
    ]
    assert data.log_evidence(deviations) == pytest.approx(wanted)


def test_the_evidence_of_some_of_the_scores_is_theirs_alone():
    data, rows = data_of(0), np.array([5, 1, 2])
    wanted = multivariate_normal.logpdf(
        data.y[rows], cov=data.terms[0][np.ix_(rows, rows)] + 0.5 + (0.01 + 0.3**2) * np.eye(3)
    )
    assert data.part(rows).log_evidence(data.medians[None]) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(5))
def test_draws_have_the_mean_the_spread_and_the_evidence_of_the_posterior(seed):
    data = data_of(seed)
    axes = [np.linspace(-5, 5, 101) * deviation for deviation in np.sqrt(np.diag(data.log_covariance))]
    logs = np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)
    prior = multivariate_normal.pdf(logs, cov=data.log_covariance)
    likely = data.log_evidence(data.medians * np.exp(logs))
    joint = prior / prior.sum() * np.exp(likely - likely.max())
    mean = joint @ logs / joint.sum()
    spread = np.sqrt(joint @ (logs - mean) ** 2 / joint.sum())

    found = hyperparameter_draws(data)
    drawn = np.log(found.deviations / data.medians)
    assert found.weights.sum() == pytest.approx(1)
    assert found.log_evidence == pytest.approx(np.log(joint.sum()) + likely.max(), abs=0.15)
    assert found.weights @ drawn == pytest.approx(mean, abs=0.15)
    assert np.sqrt(found.weights @ (drawn - mean) ** 2) == pytest.approx(spread, rel=0.2)


def test_of_few_draws_each_is_taken_in_proportion_to_its_weight():
    draws = Hyperparameters(
        deviations=np.array([[1.0], [2.0], [3.0]]), weights=np.array([0.5, 0.0, 0.5]), log_evidence=0.0
    )
    kept, times = draws.resampled(4)
    assert kept.tolist() == [[1.0], [3.0]]
    assert times.tolist() == [2, 2]
