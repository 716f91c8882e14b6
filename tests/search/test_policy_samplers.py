"""What every sampler that knows the costs must do, whatever its method."""

import itertools
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.policy_sampler import told_policies
from mpsearch.search.samplers import SAMPLERS
from tests.search.baseline_problem import (
    distributions_of,
    knowledge_of,
    known_policies,
    score_of,
    search,
    study_of,
)

EACH = ("mpsearch", "ilp", "greedy", "evolution", "haq")
BATCH = 6


@pytest.fixture(params=EACH)
def name(request):
    return request.param


def test_no_policy_is_proposed_twice_while_there_are_others(name):
    knowledge = knowledge_of(known_policies(2))
    _, asked = search(name, knowledge, 16)
    assert sorted(asked) == list(itertools.product(range(4), repeat=2))
    _, asked = search(name, knowledge, 18)
    assert len(asked) == 18


def test_no_policy_beyond_the_bounds_is_proposed(name):
    policies = known_policies(bounds=(40.0, 200.0))
    _, asked = search(name, knowledge_of(policies), 40)
    assert policies.feasible(np.array(asked)).all()
    assert len(set(asked)) == 40


def test_what_overrides_forbid_is_not_proposed(name):
    everything = np.ones(4, bool)
    policies = known_policies(4)
    allowed = (np.array([True, False, True, True]), *[everything] * 3)
    policies = replace(policies, allowed=allowed)
    _, asked = search(name, knowledge_of(policies), 30)
    assert 1 not in {codes[0] for codes in asked}


def test_a_seed_gives_the_same_search_and_a_new_process_goes_on_as_the_old_one(name):
    _, asked = search(name, knowledge_of(), 30)
    half, first = search(name, knowledge_of(), 24)
    copy = study_of(known_policies())
    copy.add_trials(half.trials)
    _, rest = search(name, knowledge_of(), 6, study=copy)
    assert first + rest == asked


def test_seeds_differ_where_chance_decides(name):
    searches = [search(name, knowledge_of(known_policies(9)), 24, seed=seed)[1] for seed in (0, 1)]
    assert (searches[0] == searches[1]) == (name in {"ilp", "greedy"})


def test_a_batch_asked_before_any_result_repeats_nothing(name):
    knowledge = knowledge_of()
    study, asked = search(name, knowledge, 22)
    study.sampler = SAMPLERS[name](5, knowledge)
    batch = [tuple(study.ask(distributions_of(knowledge.policies)).params.values()) for _ in range(BATCH)]
    assert len({*batch, *asked}) == len(batch) + len(asked)


def test_a_failed_trial_is_not_proposed_again(name):
    knowledge = knowledge_of(known_policies(2))
    study = study_of(knowledge.policies)
    seen = set()
    for number in range(16):
        study.sampler = SAMPLERS[name](number, knowledge)
        trial = study.ask(distributions_of(knowledge.policies))
        study.tell(trial, state=TrialState.FAIL)
        seen.add(tuple(trial.params.values()))
    assert len(seen) == 16


def test_trials_within_a_study_of_suggestions_work_too(name):
    knowledge = knowledge_of()
    policies = knowledge.policies

    def objective(trial):
        codes = [trial.suggest_int(choice, 0, 3) for choice in policies.names]
        return score_of(policies, codes), *policies.evaluate(np.array([codes]))[0]

    study = study_of(policies)
    study.sampler = SAMPLERS[name](0, knowledge)
    study.optimize(objective, n_trials=25)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 25


@pytest.mark.parametrize("directions", [["minimize"] * 3, ["maximize", "minimize"]])
def test_a_study_of_other_directions_is_refused(name, directions):
    study = optuna.create_study(directions=directions)
    study.sampler = SAMPLERS[name](0, knowledge_of())
    with pytest.raises(ConfigError, match=r"must be those.*\['maximize', 'minimize', 'minimize'\]; got"):
        study.ask(distributions_of(known_policies()))


def test_a_parameter_that_is_no_choice_is_refused_with_the_names_of_those_that_are(name):
    study = study_of(known_policies())
    study.sampler = SAMPLERS[name](0, knowledge_of())
    trial = study.ask()
    with pytest.raises(ConfigError, match=r"got 'depth'.*The choices are layer0, layer1"):
        trial.suggest_int("depth", 0, 3)


def test_one_budgeted_objective_gives_policies_within_the_budget_and_a_good_one_soon(name):
    policies = known_policies(objectives=(None,), bounds=(30.0, np.inf))
    every = np.array(list(itertools.product(range(4), repeat=5)))
    every = every[policies.feasible(every)]
    scores = np.array([score_of(policies, codes) for codes in every])
    study, asked = search(name, knowledge_of(policies), 40)
    assert policies.feasible(np.array(asked)).all()
    assert study.best_value >= np.quantile(scores, 0.95)


def test_the_front_comes_nearer_to_the_true_one_than_by_random_policies(name):
    reached = {sampler: volume_of(search(sampler, knowledge_of(), 45)[0]) for sampler in (name, "random")}
    assert reached[name] > reached["random"]


def volume_of(study):
    """Hypervolume of loss and costs as shares of the worst."""
    worst = known_policies().evaluate(np.full((1, 5), 2))[0]
    points = np.array([[1 - trial.values[0], *np.array(trial.values[1:]) / worst] for trial in study.trials])
    return hypervolume(points[non_dominated(points)], np.array([1.0, 1.0, 1.0]))


@pytest.mark.parametrize("sampler", ["ilp", "greedy"])
def test_what_decides_by_estimates_asks_for_them(sampler):
    knowledge = Knowledge(policies=known_policies(), proxy=None, samples=10)
    with pytest.raises(ConfigError, match=f"sampler '{sampler}' decides by.*Choose a sensitivity"):
        SAMPLERS[sampler](0, knowledge)


@pytest.mark.parametrize("sampler", ["evolution", "haq"])
def test_what_learns_from_scores_works_without_estimates(sampler):
    knowledge = Knowledge(policies=known_policies(), proxy=None, samples=10)
    _, asked = search(sampler, knowledge, 24)
    assert len(set(asked)) == 24


@pytest.mark.parametrize(
    ("is_maximized", "least_score", "constraints", "score"),
    [(True, 0.9, {"accuracy": 0.05}, 0.85), (False, 2.0, {"loss": -0.25}, -1.5), (True, None, {}, None)],
)
def test_a_score_that_is_no_objective_is_read_off_what_it_misses(
    is_maximized, least_score, constraints, score
):
    policies = known_policies(2, objectives=(0,), is_maximized=is_maximized, least_score=least_score)
    study = optuna.create_study(direction="minimize")
    study.add_trial(
        create_trial(
            value=3.0,
            params={"layer0": 1, "layer1": 2},
            distributions=distributions_of(policies),
            constraints=constraints,
        )
    )
    told = told_policies(study, policies, but=-1)
    assert told.seen == {(1, 2)}
    assert told.scores.tolist() == pytest.approx([] if score is None else [score])


@pytest.mark.parametrize("loss", [np.inf, -np.inf])
def test_an_infinite_score_tells_nothing_but_that_the_policy_was_tried(name, loss):
    policies = known_policies(2, is_maximized=False)
    knowledge = knowledge_of(policies)
    study = study_of(policies)
    asked = [(0, 0)]
    study.add_trial(
        create_trial(
            params=dict.fromkeys(policies.names, 0),
            distributions=distributions_of(policies),
            values=[loss, 1.0, 1.0],
        )
    )
    assert told_policies(study, policies, but=1).scores.size == 0
    for number in range(1, 16):
        study.sampler = SAMPLERS[name](number, knowledge)
        trial = study.ask(distributions_of(policies))
        asked.append(tuple(trial.params[choice] for choice in policies.names))
        costs = policies.evaluate(np.array([asked[-1]]))[0]
        study.tell(trial, [1 - score_of(policies, asked[-1]), *costs])
    assert sorted(asked) == list(itertools.product(range(4), repeat=2))


def test_trials_of_a_larger_space_are_passed_over(name):
    policies = known_policies(2)
    study = study_of(policies)
    larger = dict.fromkeys(policies.names, optuna.distributions.IntDistribution(0, 9))
    for code in range(4, 10):
        params = dict(zip(policies.names, (code, 0), strict=True))
        study.add_trial(create_trial(params=params, distributions=larger, values=[0.5 + code / 20, 1.0, 1.0]))
    assert told_policies(study, policies, but=6).seen == set()
    _, asked = search(name, knowledge_of(policies), 16, study=study)
    assert sorted(asked) == list(itertools.product(range(4), repeat=2))
