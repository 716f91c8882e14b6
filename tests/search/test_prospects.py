"""What a training is worth: against hypervolumes of drawn scores, and in cases that a person can judge."""

from dataclasses import replace

import numpy as np
import pytest

from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.objective_box import Box
from mpsearch.search.observations import Observations
from mpsearch.search.prospects import Prospects
from tests.search.additive_policies import EVERY, policies_of, true_scores


@pytest.fixture
def box():
    return Box(reference_loss=1.0, reference_costs=np.array([88.0, 35.2]))


def knowledge_of(policies):
    return Knowledge(policies=policies, proxy=None, samples=400)


def trained(count=30, seed=0, noise=0.004):
    generator = np.random.default_rng(seed)
    codes = EVERY[generator.choice(81, count, replace=False)]
    scores = np.clip(true_scores(codes) + noise * generator.standard_normal(count), 0, 1)
    return Observations(codes=codes, scores=scores, variances=np.zeros(count))


def drawn_worth(prospects, box, policies, codes, *, is_trained):
    """By drawing scores: the mean of hypervolumes, less the one with what is believed now."""
    told = prospects._trained
    belief = prospects.surrogate.posterior(told)
    costs = policies.evaluate(told)[:, [0, 1]] / box.reference_costs
    points = np.column_stack((prospects.scale.inverse(belief.mean), costs))
    others = points[(told != codes).any(axis=1)]
    own = prospects.surrogate.posterior(codes[None])
    sampling = prospects.scale.sampling_variance(prospects.scale.inverse(own.mean), 400)
    move = own.deviation**2 / np.sqrt(own.deviation**2 + prospects.surrogate.noise**2 + sampling)
    cost = policies.evaluate(codes[None])[0] / box.reference_costs

    def whole(latent):
        return hypervolume(np.vstack((others, [prospects.scale.inverse(latent)[0], *cost])), [1.0] * 3)

    quantiles = (np.arange(1500) + 0.5) / 1500
    from statistics import NormalDist

    normal = [NormalDist().inv_cdf(q) for q in quantiles]
    mean = np.mean([whole(own.mean + z * move) for z in normal])
    return mean - (whole(own.mean) if is_trained else hypervolume(others, [1.0] * 3))


@pytest.mark.parametrize("is_maximized", [True, False])
def test_a_new_policy_is_worth_the_hypervolume_that_drawn_scores_add(box, is_maximized):
    policies, seen = replace(policies_of(), is_maximized=is_maximized), trained()
    seen = seen if is_maximized else replace(seen, scores=1 - seen.scores)
    prospects = Prospects(knowledge_of(policies), seen, box)
    told = {tuple(row) for row in prospects._trained.tolist()}
    new = np.array([row for row in EVERY.tolist() if tuple(row) not in told])
    worths = prospects.of_policies(new)
    for place in np.argsort(-worths)[:2]:
        drawn = drawn_worth(prospects, box, policies, new[place], is_trained=False)
        assert worths[place] == pytest.approx(drawn, rel=0.015)
    assert (worths >= 0).all()


def test_another_seed_is_worth_what_drawn_scores_change_on_the_front(box):
    policies = policies_of()
    prospects = Prospects(knowledge_of(policies), trained(), box)
    codes, worths = prospects.of_seeds()
    assert list(worths) == sorted(worths, reverse=True)
    assert worths[0] > 0
    drawn = drawn_worth(prospects, box, policies, codes[0], is_trained=True)
    assert worths[0] == pytest.approx(drawn, rel=0.1, abs=1e-9)


def test_seeds_tell_less_the_more_there_are(box):
    knowledge, once = knowledge_of(policies_of()), trained()
    worth = []
    for times in (1, 3, 9):
        again = Observations(
            codes=np.tile(once.codes, (times, 1)),
            scores=np.tile(once.scores, times),
            variances=np.zeros(times * len(once.codes)),
        )
        worth.append(Prospects(knowledge, again, box).of_seeds()[1].sum())
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 2 * worth[2]


def test_a_policy_beyond_the_budgets_is_worth_no_further_seed(box):
    bounds = [60.0, 26.0]
    policies = policies_of(bounds)
    codes, worths = Prospects(knowledge_of(policies), trained(), box).of_seeds()
    assert policies.feasible(codes[worths > 0]).all()
    assert (worths > 0).any()


def test_what_runs_is_worth_no_more_than_before(box):
    knowledge, seen = knowledge_of(policies_of()), trained()
    alone = Prospects(knowledge, seen, box)
    best = EVERY[[int(np.argmax(alone.of_policies(EVERY)))]]
    together = Prospects(knowledge, seen, box, running=best)
    assert together.of_policies(best)[0] < alone.of_policies(best)[0]
