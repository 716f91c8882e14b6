import numpy as np
import pytest

from mpsearch.search.haq_sampler import HaqSampler
from mpsearch.search.policy_sampler import ToldPolicies
from tests.search.baseline_problem import known_policies


@pytest.fixture
def policies():
    return known_policies(objectives=(None, 1))


@pytest.fixture
def sampler(policies):
    return HaqSampler(policies, seed=0)


@pytest.mark.parametrize("budget", [0.0, 0.3, 0.7])
def test_what_the_actor_picks_is_lowered_to_the_budget_and_no_further(policies, sampler, budget):
    memory = policies.evaluate(np.array([[1] * 5, [2] * 5]))[:, 1]
    limit = memory[0] + budget * (memory[1] - memory[0])
    lowered = sampler._lowered(np.full(5, 3), budget)
    used = policies.evaluate(sampler._order.codes_at(lowered)[None])[0, 1]
    assert used <= limit
    raised = [lowered + np.eye(5, dtype=int)[c] for c in range(5) if lowered[c] < 3]
    # The last step was needed: some layer a step higher is over the budget.
    assert any(policies.evaluate(sampler._order.codes_at(r)[None])[0, 1] > limit for r in raised)


def test_a_budget_that_lowering_does_not_meet_gives_none(policies):
    tight = known_policies(objectives=(None,), bounds=(np.inf, 1.0))
    assert HaqSampler(tight, seed=0)._lowered(np.full(5, 3), 1.0) is None


def test_the_budget_of_a_trial_is_the_tightest_that_it_meets(policies, sampler):
    shares = sampler._budgets_of(np.array([[1] * 5, [2] * 5]))
    assert shares.tolist() == pytest.approx([0, 1])
    codes = np.array([[0, 1, 2, 3, 1]])
    lowered = sampler._lowered(
        sampler._order.places_of(codes[0]), float(sampler._budgets_of(codes)[0]) + 1e-12
    )
    assert (sampler._order.codes_at(lowered) == codes[0]).all()


def test_the_actor_learns_to_keep_precision_where_it_pays():
    """The last layer is better at few bits; the second does not matter."""
    policies = known_policies(3, objectives=(None,))
    generator = np.random.default_rng(0)
    codes = generator.integers(4, size=(100, 3))
    sampler = HaqSampler(policies, seed=1)
    places = sampler._order.places_of(codes)
    told = ToldPolicies(codes=codes, scores=0.5 + 0.1 * places[:, 0] - 0.1 * places[:, 2], seen=set())
    agent = sampler._trained(told)
    picked = np.array([sampler._episode(agent, 1.0, 0.05) for _ in range(20)])
    assert picked[:, 0].mean() > picked[:, 2].mean() + 1
