import itertools
from dataclasses import replace

import numpy as np
import pytest

from mpsearch.search.accuracy_surrogate import learn_surrogate
from mpsearch.search.learnt_scale import learnt_scale
from mpsearch.search.observations import Observations
from mpsearch.search.policy_features import TERMS, PolicyFeatures
from tests.search.baseline_problem import knowledge_of, known_policies, score_of

POLICIES = known_policies(4)
EVERY = np.array(list(itertools.product(range(4), repeat=4)))
SCORES = np.array([score_of(POLICIES, codes) for codes in EVERY])
SCALE = learnt_scale(SCORES, is_maximized=True)


def learnt(rows, scores=None, variances=None):
    observations = Observations(
        codes=EVERY[rows],
        scores=SCORES[rows] if scores is None else scores,
        variances=np.zeros(len(rows)) if variances is None else variances,
    )
    features = PolicyFeatures(knowledge_of(POLICIES))
    return learn_surrogate(features, SCALE, observations, samples=1000)


def losses(surrogate, codes=EVERY):
    return SCALE.inverse(surrogate.posterior(codes).mean)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).permutation(len(EVERY))[:24]


@pytest.fixture(scope="module")
def surrogate(rows):
    return learnt(rows)


def test_two_dozen_trials_tell_the_order_of_all_policies(surrogate):
    expected = losses(surrogate)
    order = np.argsort(np.argsort(expected)), np.argsort(np.argsort(1 - SCORES))
    assert np.corrcoef(*order)[0, 1] > 0.97


def test_deviations_are_small_where_trials_are_and_hold_the_truth(surrogate, rows):
    belief = surrogate.posterior(EVERY)
    truth = SCALE.latent(SCALE.losses(SCORES), 1000)
    off = np.abs(truth - belief.mean) / belief.deviation
    assert (off < 3).mean() > 0.9
    others = np.setdiff1d(np.arange(len(EVERY)), rows)
    assert belief.deviation[rows].mean() < belief.deviation[others].mean()


def test_covariance_is_the_sum_of_its_terms():
    features = PolicyFeatures(knowledge_of(POLICIES))
    deviations = np.linspace(0.3, 1.2, len(TERMS))
    terms = features.terms(EVERY[:9], EVERY[5:30])
    summed = np.tensordot(deviations**2, terms, 1)
    assert features.covariance(EVERY[:9], EVERY[5:30], deviations) == pytest.approx(summed)


def test_effects_of_cells_add_up_where_terms_are_linear():
    features = PolicyFeatures(knowledge_of(POLICIES))
    deviations = np.array([1.0, 0.5, 0.7, 0.4, 0.6, 0.0, 0.0, 0.0])  # without curvature, proxy and residual
    width = features.linear_features(EVERY[:1], deviations).shape[1]
    weights = np.random.default_rng(0).standard_normal(width)
    effects = features.cell_effects(weights, deviations, EVERY[:1])
    summed = sum(of_choice[0][EVERY[:, place]] for place, of_choice in enumerate(effects))
    assert summed == pytest.approx(features.linear_features(EVERY, deviations) @ weights)


def test_a_width_is_a_choice_like_any_other():
    policies = known_policies(3)
    policies = replace(policies, places=(*policies.places[:2], None))
    features = PolicyFeatures(knowledge_of(policies))
    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 3]])
    near, far = features.covariance(codes[:1], codes[1:], np.eye(len(TERMS))[-1])[0]
    assert near > far  # widths are ordered


def test_an_uncertain_score_moves_the_mean_less(rows):
    scores = SCORES[rows].copy()
    scores[0] -= 0.3
    sure = losses(learnt(rows, scores), EVERY[rows[:1]])[0]
    unsure = losses(learnt(rows, scores, np.eye(len(rows))[0] * 0.5), EVERY[rows[:1]])[0]
    truth = 1 - SCORES[rows[0]]
    assert abs(unsure - truth) < 0.5 * abs(sure - truth)


def test_expected_scores_leave_the_mean_and_narrow_the_belief(surrogate):
    policy = EVERY[[7]]
    after = surrogate.with_expected(policy)
    assert after.posterior(EVERY).mean == pytest.approx(surrogate.posterior(EVERY).mean, abs=1e-6)
    assert after.posterior(policy).deviation < surrogate.posterior(policy).deviation


def test_draws_scatter_about_the_mean(surrogate):
    at = EVERY[[100]]
    mean = np.concatenate([of_choice[0] for of_choice in surrogate.additive(at)])
    generator = np.random.default_rng(0)
    draws = [np.concatenate([c[0] for c in surrogate.sampled(at, generator)]) for _ in range(60)]
    assert np.corrcoef(mean, np.mean(draws, axis=0))[0, 1] > 0.9
    assert np.std(draws, axis=0).max() > 0


@pytest.mark.parametrize(
    ("scores", "is_maximized", "name"),
    [
        ([0.2, 1.0], True, "log odds of the error"),
        ([2.1, 0.4], False, "log of the loss"),
        ([-3.0, 0.5], True, "the score"),
        ([-3.0, 0.5], False, "the score"),
    ],
)
def test_losses_come_back_from_their_scale(scores, is_maximized, name):
    scale = learnt_scale(np.array(scores), is_maximized=is_maximized)
    found = scale.losses(np.array(scores))
    assert scale.scale.name == name
    assert found.argmin() == (np.argmax(scores) if is_maximized else np.argmin(scores))
    assert np.isfinite(scale.latent(found, 100)).all()
    assert scale.inverse(scale.latent(found, 10**9)) == pytest.approx(found, abs=1e-6)
    assert (scale.sampling_variance(found, 100) > 0).all()
