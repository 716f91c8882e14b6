import itertools
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from mpsearch.errors import BudgetError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search import sampler as sampler_module
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_cost_improvement import KnownCostImprovement
from mpsearch.search.observations import ADVICE, ESTIMATE
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_starts import warm_start
from mpsearch.search.sampler import STARTS, CostAwareSampler
from mpsearch.search.supported_policies import supported_policies
from tests.search.baseline_problem import (
    distributions_of,
    knowledge_of,
    known_policies,
    proxy_of,
    score_of,
    search,
    study_of,
)
from tests.search.known_spaces import of_opposed_costs


def every_policy(policies):
    return np.array(list(itertools.product(*map(range, policies.sizes.tolist()))))


def points_of(policies, codes):
    scores = np.array([score_of(policies, tuple(row)) for row in codes])
    return np.column_stack((1 - scores, policies.evaluate(codes)))


def share_found(policies, asked):
    """Of the exact hypervolume, from a tenth of the exact front's range beyond its worst."""
    points = points_of(policies, every_policy(policies))
    front = points[non_dominated(points)]
    corner = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
    found = points_of(policies, np.array(asked))
    return hypervolume(found / corner, np.ones(3)) / hypervolume(front / corner, np.ones(3))


@pytest.mark.parametrize("kind", ["loss", "none", "reversed"])
def test_a_few_dozen_trials_find_nearly_all_of_the_front(kind):
    policies = known_policies(4)
    proxy = {
        "loss": proxy_of(policies),
        "none": None,
        "reversed": Proxy(losses=tuple(f.max() - f for f in proxy_of(policies).losses), method="reversed"),
    }[kind]
    knowledge = Knowledge(policies=policies, proxy=proxy, samples=1000)
    _, asked = search("mpsearch", knowledge, 30)
    by_chance = np.random.default_rng(0).integers(0, 4, (30, 4))
    missing = 1 - share_found(policies, asked)
    assert missing < 0.02
    assert missing < 0.25 * (1 - share_found(policies, by_chance))


def test_the_best_score_within_budgets_is_found_soon():
    policies = known_policies(5, objectives=(None,), bounds=(45.0, 220.0))
    within = every_policy(policies)
    within = within[policies.feasible(within)]
    best = max(score_of(policies, tuple(codes)) for codes in within)
    _, asked = search("mpsearch", knowledge_of(policies), 12)
    assert max(score_of(policies, codes) for codes in asked) > best - 0.003


def test_a_lone_sampler_learns_the_score_from_constraints():
    policies = known_policies(4, objectives=(0,), least_score=0.9)
    study = study_of(policies)
    study.sampler = CostAwareSampler(policies, proxy_of(policies), seed=0)
    for _ in range(20):
        trial = study.ask(distributions_of(policies))
        codes = tuple(trial.params.values())
        missing = 0.9 - score_of(policies, codes)
        trial.set_constraint("accuracy", missing)
        study.tell(trial, policies.evaluate(np.array([codes]))[0, 0])
    enough = np.array([c for c in every_policy(policies) if score_of(policies, tuple(c)) >= 0.9])
    fastest = policies.evaluate(enough)[:, 0].min()
    found = [t.values[0] for t in study.trials if score_of(policies, tuple(t.params.values())) >= 0.9]
    assert min(found) <= 1.05 * fastest


def test_costs_alone_need_no_score():
    policies = known_policies(3, objectives=(0, 1))
    _, asked = search("mpsearch", knowledge_of(policies), 20)
    costs = policies.evaluate(every_policy(policies))
    front = {tuple(point) for point in costs[non_dominated(costs)].tolist()}
    assert front <= {tuple(point) for point in policies.evaluate(np.array(asked)).tolist()}


def test_it_serves_a_study_of_ones_own():
    policies = known_policies(3)
    study = study_of(policies)
    study.sampler = CostAwareSampler(policies, proxy_of(policies), seed=2)

    def objective(trial):
        codes = tuple(trial.suggest_int(name, 0, 3) for name in policies.names)
        return (score_of(policies, codes), *policies.evaluate(np.array([codes]))[0].tolist())

    study.optimize(objective, n_trials=15)
    asked = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(asked)) == 15
    assert share_found(policies, asked) > 0.97


def test_trials_that_failed_are_not_tried_again_and_of_other_spaces_are_passed_over():
    policies = known_policies(2)
    knowledge = knowledge_of(policies)
    study, asked = search("mpsearch", knowledge, 8)
    left = sorted(set(map(tuple, every_policy(policies).tolist())) - set(asked))
    params = dict(zip(policies.names, left[0], strict=True))
    study.add_trial(
        create_trial(state=TrialState.FAIL, params=params, distributions=distributions_of(policies))
    )
    other = optuna.distributions.IntDistribution(0, 1)
    study.add_trial(
        create_trial(state=TrialState.COMPLETE, values=[0, 0, 0], params={"x": 0}, distributions={"x": other})
    )
    _, rest = search("mpsearch", knowledge, 7, study=study)
    assert sorted(rest) == left[1:]


def test_an_estimate_of_a_score_teaches_as_much_as_it_is_sure():
    policies = known_policies(4)
    knowledge = knowledge_of(policies)
    study, _ = search("mpsearch", knowledge, 10)
    next_of = {}
    for variance in (1e-6, 1e6):
        copy = study_of(policies)
        copy.add_trials(study.trials)
        for codes in every_policy(policies)[::25]:
            copy.add_trial(
                create_trial(
                    state=TrialState.PRUNED,
                    params=dict(zip(policies.names, codes.tolist(), strict=True)),
                    distributions=distributions_of(policies),
                    system_attrs={ESTIMATE: [0.5, variance]},
                )
            )
        next_of[variance] = search("mpsearch", knowledge, 1, study=copy)[0].trials[-1].system_attrs[ADVICE]
    assert next_of[1e-6] != pytest.approx(next_of[1e6], rel=0.05)


def test_no_policy_within_the_bounds_is_an_error():
    policies = known_policies(3, bounds=(0.5, np.inf))
    with pytest.raises(BudgetError, match="Raise a bound"):
        search("mpsearch", knowledge_of(policies), 1)


def test_the_only_policy_within_tight_bounds_is_proposed_again_rather_than_called_none():
    policies, losses, only = of_opposed_costs()
    policies = replace(policies, bounds=policies.evaluate(only)[0])
    proxy = Proxy(losses=tuple(losses), method="loss")
    assert warm_start(policies, proxy, STARTS).tolist() == only.tolist()
    study = study_of(policies)
    study.sampler = CostAwareSampler(policies, proxy)
    for _ in range(2):
        trial = study.ask(distributions_of(policies))
        study.tell(trial, state=TrialState.FAIL)
        assert list(trial.params.values()) == only[0].tolist()


def test_advice_says_when_luck_outweighs_what_is_left_to_gain():
    policies = known_policies(3)
    study, _ = search("mpsearch", knowledge_of(policies), 50)
    assert all(ADVICE not in trial.system_attrs for trial in study.trials[:STARTS])
    advice = [trial.system_attrs[ADVICE] for trial in study.trials[STARTS:]]
    assert advice[0][0] > advice[0][1]
    assert advice[-1][0] < advice[-1][1]


def test_advice_comes_in_a_search_for_one_answer_once_no_better_one_is_expected():
    policies = known_policies(3, objectives=(None,))
    study, _ = search("mpsearch", knowledge_of(policies), 40)
    gain, luck = study.trials[-1].system_attrs[ADVICE]
    assert gain < luck < 0.05


def test_no_advice_to_stop_comes_while_no_policy_is_good_enough():
    policies = known_policies(3, least_score=0.999)
    study, _ = search("mpsearch", knowledge_of(policies), 30)
    advice = [trial.system_attrs[ADVICE] for trial in study.trials[STARTS:]]
    assert all(gain >= luck for gain, luck in advice)


def test_what_is_only_hoped_for_is_not_told_as_expected(monkeypatch):
    inner = KnownCostImprovement.expected
    asked = []

    def once_hoped(self, costs, mean, deviation):
        asked.append(deviation)
        return inner(self, costs, mean, deviation) * (len(asked) > 1)

    monkeypatch.setattr(KnownCostImprovement, "expected", once_hoped)
    study, _ = search("mpsearch", knowledge_of(known_policies(3)), STARTS + 1)
    assert len(asked) == 2
    assert study.trials[-1].system_attrs[ADVICE][0] == 0.0


def test_the_model_rests_on_a_bounded_number_of_trials(monkeypatch):
    monkeypatch.setattr(sampler_module, "MOST_TRIALS", 24)
    rested = []
    inner = sampler_module.next_policy
    monkeypatch.setattr(
        sampler_module,
        "next_policy",
        lambda knowledge, told, *rest: rested.append(len(told.scores)) or inner(knowledge, told, *rest),
    )
    policies = known_policies(4)
    _, asked = search("mpsearch", knowledge_of(policies), 40)
    assert max(rested) == 24
    assert share_found(policies, asked) > 0.98


def test_policies_of_weighted_sums_are_on_the_front_of_additive_costs():
    policies = known_policies(5)
    proxy = proxy_of(policies)
    found = supported_policies(policies, proxy.losses, [0, 1], np.random.default_rng(0), count=40)
    every = every_policy(policies)
    points = np.column_stack((proxy.evaluate(every), policies.evaluate(every)))
    front = {tuple(codes) for codes in every[non_dominated(points)].tolist()}
    assert {tuple(codes) for codes in found.tolist()} <= front
    assert len(np.unique(found, axis=0)) > 10
