"""The policy of least loss under bounds: dynamic programming, integer programme and all policies tried."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpsearch.errors import ConfigError
from mpsearch.search import best_under as best_under_module
from mpsearch.search.best_under import best_under
from tests.search.known_spaces import SPACES, every_policy, known_space, loss_of, wide


def least_of_all(policies, losses):
    codes = every_policy(policies)
    codes = codes[policies.feasible(codes)]
    return float(loss_of(losses, codes).min()) if len(codes) else None


@settings(max_examples=40, deadline=None)
@given(by_programme=st.booleans(), **SPACES)
def test_the_best_of_all_policies_is_found_either_way(by_programme, seed, **kind):
    policies, losses = known_space(np.random.default_rng(seed), **kind)
    with pytest.MonkeyPatch.context() as patch:
        if by_programme:
            patch.setattr(best_under_module.Deepening, "of", lambda *_: None)
        found = best_under(policies, losses, policies.bounds)
    wanted = least_of_all(policies, losses)
    if wanted is None:
        assert found is None
    else:
        assert policies.feasible(found[None])[0]
        assert loss_of(losses, found[None])[0] == wanted


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_both_ways_agree_on_many_layers(monkeypatch, columns, share):
    policies, losses = wide(30, 5, columns=columns)
    drawn = np.random.default_rng(1).integers(0, 5, (500, 30))
    bounds = np.quantile(policies.evaluate(drawn), share, axis=0)
    first = best_under(policies, losses, bounds)
    monkeypatch.setattr(best_under_module.Deepening, "of", lambda *_: None)
    second = best_under(policies, losses, bounds)
    assert (policies.evaluate(np.stack((first, second))) <= bounds).all()
    assert loss_of(losses, first[None]) == pytest.approx(loss_of(losses, second[None]), abs=1e-6)


def test_where_it_takes_too_many_partial_policies_the_programme_answers(monkeypatch):
    policies, losses = known_space(np.random.default_rng(5), pairs=True, bounded=True)
    wanted = best_under(policies, losses, policies.bounds)
    solved = []
    solution = best_under_module.IntegerProgramme.solution
    monkeypatch.setattr(best_under_module, "_QUICK_SUMS", 0)
    monkeypatch.setattr(
        best_under_module.IntegerProgramme, "solution", lambda self: solved.append(self) or solution(self)
    )
    found = best_under(policies, losses, policies.bounds)
    assert solved
    assert loss_of(losses, found[None]) == loss_of(losses, wanted[None])


def test_a_bound_at_the_cost_of_a_policy_takes_it_and_a_bit_less_does_not():
    policies, losses = wide(12, 4, columns=1)
    best = best_under(policies, losses, policies.evaluate(np.full((1, 12), 1))[0])
    cost = policies.evaluate(best[None])[0]
    assert np.array_equal(best_under(policies, losses, cost), best)
    less = best_under(policies, losses, np.nextafter(cost, 0))
    assert policies.evaluate(less[None])[0, 0] < cost[0]


def test_bounds_that_no_policy_meets_together_have_no_answer():
    policies, losses = wide(12, 4)
    cheapest = policies.evaluate(np.zeros((1, 12), dtype=int))[0]
    assert best_under(policies, losses, cheapest) is not None
    assert best_under(policies, losses, cheapest * [0.99, 1.0]) is None


def test_without_bounds_each_choice_takes_what_loses_least():
    policies, losses = wide(6, 4)
    found = best_under(policies, losses, np.full(2, np.inf))
    assert found.tolist() == [int(added.argmin()) for added in losses]


@pytest.mark.parametrize("by_programme", [False, True])
@pytest.mark.parametrize("apart", [0.0, 4.5e-16])
def test_losses_that_are_hardly_apart_are_no_trouble_for_the_solver(monkeypatch, by_programme, apart):
    policies, _ = known_space(np.random.default_rng(0), bounded=True)
    losses = [2.0 + apart * np.arange(size) for size in policies.sizes.tolist()]
    if by_programme:
        monkeypatch.setattr(best_under_module.Deepening, "of", lambda *_: None)
    found = best_under(policies, losses, policies.bounds)
    assert found is not None
    assert policies.feasible(found[None])[0]


def test_a_programme_that_the_solver_gives_up_says_what_to_do(monkeypatch):
    policies, losses = wide(6, 4)
    gave_up = type("Result", (), {"status": 1, "message": "Time limit reached."})
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: gave_up)
    with pytest.raises(ConfigError, match=r"HiGHS says: Time limit reached\. Change a budget"):
        best_under(policies, losses, policies.bounds)
