import math

import numpy as np
import pytest

from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.known_cost_improvement import KnownCostImprovement
from mpsearch.search.learnt_scale import learnt_scale

SCALE = learnt_scale(np.array([0.5, 0.9]), is_maximized=True)


def improvement(front, *, is_learnt=True, most_loss=math.inf):
    corner = np.ones(front.shape[1])
    return KnownCostImprovement(
        front,
        ideal=np.zeros(front.shape[1]),
        reference=corner,
        scale=SCALE,
        samples=300,
        is_learnt=is_learnt,
        most_loss=most_loss,
    )


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_expectation_is_that_of_drawn_scores(objectives):
    generator = np.random.default_rng(objectives)
    front = generator.random((6, objectives))
    front[:, 0] = 0.1 + 0.4 * front[:, 0]
    costs = generator.random((5, objectives - 1)) * 0.5
    mean, deviation = generator.normal(-2, 0.7, 5), generator.uniform(0.3, 1.0, 5)
    expected = improvement(front).expected(costs, mean, deviation)
    corner = np.ones(objectives)
    drawn = np.zeros((5, 1000))
    for row in range(5):
        quantiles = (np.arange(1000) + 0.5) / 1000
        z = np.sort(np.random.default_rng(0).standard_normal(200_000))[(quantiles * 200_000).astype(int)]
        losses = SCALE.inverse(mean[row] + deviation[row] * z)
        for place, loss in enumerate(losses):
            drawn[row, place] = hypervolume(np.vstack([front, [loss, *costs[row]]]), corner)
    gains = drawn.mean(axis=1) - hypervolume(front, corner)
    assert expected == pytest.approx(gains, rel=0.03, abs=2e-5)


def test_a_known_loss_gains_what_the_hypervolume_grows_by():
    generator = np.random.default_rng(0)
    front, new = generator.random((8, 3)), generator.random((20, 3))
    gains = improvement(front).gains(new[:, 1:], new[:, 0])
    before = hypervolume(front, np.ones(3))
    assert gains == pytest.approx([hypervolume(np.vstack([front, p]), np.ones(3)) - before for p in new])


def test_what_lies_beyond_the_least_score_gains_nothing():
    front = np.array([[0.5, 0.5]])
    mean, deviation = np.array([1.0]), np.array([0.05])  # a loss of 0.73
    costs = np.array([[0.1]])
    assert improvement(front).expected(costs, mean, deviation)[0] > 0.05
    assert improvement(front, most_loss=0.4).expected(costs, mean, deviation)[0] < 1e-9


def test_where_no_score_is_an_objective_the_gain_counts_as_likely_as_the_score_is_enough():
    front = np.array([[0.5, 0.5]])
    costs = np.array([[0.25, 0.25]] * 3)
    latent = SCALE.scale.of_error(np.array([0.1]))[0]
    gains = improvement(front, is_learnt=False, most_loss=0.1).expected(
        costs, np.array([latent, latent - 1, latent + 1]), np.array([1.0, 0.5, 0.5])
    )
    volume = 0.75**2 - 0.5**2
    assert gains == pytest.approx([volume / 2, volume * 0.97725, volume * 0.02275], rel=1e-3)


def test_of_very_many_policies_the_best_is_found_all_the_same():
    generator = np.random.default_rng(3)
    front = generator.random((5, 2)) * 0.3 + 0.3
    costs, mean = generator.random((3000, 1)), generator.normal(-1, 1, 3000)
    deviation = generator.uniform(0.1, 0.5, 3000)
    together = improvement(front).expected(costs, mean, deviation)
    parts = [
        improvement(front).expected(costs[i : i + 300], mean[i : i + 300], deviation[i : i + 300])
        for i in range(0, 3000, 300)
    ]
    assert together.argmax() == np.concatenate(parts).argmax()
    assert together.max() == pytest.approx(np.concatenate(parts).max())
