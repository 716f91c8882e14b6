import numpy as np
import pytest

from mpsearch.search.score_predictor import ScorePredictor


@pytest.fixture
def policies():
    generator = np.random.default_rng(0)
    return generator.integers(0, 5, size=(80, 6)) / 2 - 1.0


def test_additive_scores_with_a_bend_are_predicted_of_policies_that_were_not_seen(policies):
    scores = (
        0.9 - 0.1 * np.exp(-3 * policies).sum(axis=1) / np.exp(3) + 0.05 * policies[:, 0] * policies[:, 1]
    )
    predictor = ScorePredictor(policies[:60], scores[:60])
    errors = predictor.predict(policies[60:]) - scores[60:]
    assert np.std(errors) < 0.5 * np.std(scores[60:])


def test_noise_is_not_learnt_by_heart(policies):
    truth = policies @ np.arange(6)
    noisy = truth + np.random.default_rng(1).normal(0, 5, len(truth))
    predictor = ScorePredictor(policies[:60], noisy[:60])
    shown = predictor.predict(policies[:60])
    assert np.abs(shown - truth[:60]).mean() < 0.7 * np.abs(noisy[:60] - truth[:60]).mean()


def test_one_trial_predicts_its_score_everywhere(policies):
    predictor = ScorePredictor(policies[:1], np.array([0.7]))
    assert predictor.predict(policies[:3]).tolist() == pytest.approx([0.7] * 3)
