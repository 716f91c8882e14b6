import numpy as np

from mpsearch.search.evolution_sampler import ranks
from mpsearch.search.proxy_starts import warm_start
from mpsearch.search.samplers import STARTUP_TRIALS
from tests.search.baseline_problem import knowledge_of, score_of, search


def test_fronts_are_peeled_one_after_the_other():
    points = np.array([[0.0, 3], [1, 1], [3, 0], [1, 2], [2, 2], [1, 1]])
    assert ranks(points, np.zeros(6)).tolist() == [0, 0, 0, 1, 2, 0]


def test_points_beyond_budgets_come_after_all_within_by_how_far():
    points = np.array([[5.0, 5], [0, 0], [1, 0]])
    assert ranks(points, np.array([0.0, 0.2, 0.1])).tolist() == [0, 2, 1]


def test_it_begins_on_the_proxy_front():
    knowledge = knowledge_of()
    _, asked = search("evolution", knowledge, STARTUP_TRIALS)
    starts = warm_start(knowledge.policies, knowledge.proxy, STARTUP_TRIALS)
    assert asked == [tuple(codes) for codes in starts.tolist()]


def test_what_it_proposes_once_it_has_learnt_is_seldom_dominated():
    knowledge = knowledge_of()
    policies = knowledge.policies
    _, asked = search("evolution", knowledge, 40)
    codes = np.array(asked)
    values = np.column_stack((-np.array([score_of(policies, c) for c in codes]), policies.evaluate(codes)))
    every = np.indices([4] * 5).reshape(5, -1).T
    others = np.column_stack((-np.array([score_of(policies, c) for c in every]), policies.evaluate(every)))

    def beaten(points):
        return np.mean([((others <= p).all(axis=1) & (others < p).any(axis=1)).any() for p in points])

    assert beaten(values[STARTUP_TRIALS:]) < 0.5 * beaten(others)
