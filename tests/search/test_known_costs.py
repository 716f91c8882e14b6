import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpsearch.errors import BudgetError
from mpsearch.search import known_costs
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.objective import COSTS, OBJECTIVES
from mpsearch.search.resolve import all_codes, cost_model_of, resolve

MEMORY = [cost.name for cost in COSTS].index("memory")


@pytest.fixture
def known(space_of, trace, profile):
    space = space_of(
        layers='[{match: "[02]", schemes: [w1a1, w1.58a8, w8a8], group: a}, '
        '{match: "*", schemes: [w4a8, w32a32]}]'
    )
    return KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile))


def every_cost(known):
    codes = np.concatenate(list(all_codes(known.resolved)))
    return codes, known.evaluate(codes)


def test_costs_of_codes_are_those_of_the_policies(known):
    codes, costs = every_cost(known)
    for row, cost in zip(codes, costs, strict=True):
        report = known.models[None][None].evaluate(known.resolved.policy(row))
        assert [getattr(report, objective.field) for objective in COSTS] == cost.tolist()


def test_extremes_respect_groups(known):
    _, costs = every_cost(known)
    assert known.range_of(OBJECTIVES["memory"]).least == costs[:, MEMORY].min()
    assert known.greatest_costs().latency_s == pytest.approx(costs[:, 0].max())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    columns=st.lists(st.integers(0, len(COSTS) - 1), min_size=1, max_size=3, unique=True),
    shares=st.tuples(*[st.floats(0.5, 1.5)] * 3),
    enumerates=st.booleans(),
)
def test_budgets_are_refused_exactly_when_no_policy_meets_them(known, columns, shares, enumerates):
    with pytest.MonkeyPatch.context() as patch:
        if not enumerates:
            patch.setattr(known_costs, "ENUMERABLE", 0)
        _, costs = every_cost(known)
        middle = np.median(costs, axis=0)
        budgets = Budgets(
            **{
                COSTS[column].field: middle[column] * share
                for column, share in zip(columns, shares, strict=False)
            }
        )
        can_be_met = known.feasible(np.concatenate(list(all_codes(known.resolved))), budgets).any()
        try:
            known.require_reachable(budgets)
        except BudgetError:
            assert not can_be_met
        else:
            # Lagrangian bounds leave some hopeless budgets undecided, but never refuse what can be met.
            assert can_be_met or not enumerates


@pytest.mark.parametrize("enumerable", [known_costs.ENUMERABLE, 0])
def test_random_policies_meet_the_budgets_and_are_new(known, monkeypatch, enumerable):
    monkeypatch.setattr(known_costs, "ENUMERABLE", enumerable)
    codes, costs = every_cost(known)
    budgets = Budgets(memory_bytes=float(np.median(costs[:, MEMORY])))
    allowed = {tuple(row) for row in codes[known.feasible(codes, budgets)].tolist()}
    seen = set()
    while (found := known.random_feasible(np.random.default_rng(len(seen)), budgets, seen)) is not None:
        assert tuple(found.tolist()) not in seen
        seen.add(tuple(found.tolist()))
    assert seen == allowed


def test_a_random_policy_is_the_same_for_the_same_seed(known):
    first, second = (known.random_feasible(np.random.default_rng(5), Budgets(), set()) for _ in range(2))
    assert (first == second).all()


def test_tight_budgets_on_a_large_space_are_met_by_leaning_towards_what_is_cheap(
    space, trace, profile, monkeypatch
):
    monkeypatch.setattr(known_costs, "ENUMERABLE", 0)
    known = KnownCosts.of_model(resolve(space, trace), cost_model_of(space, trace, profile))
    least = known.range_of(OBJECTIVES["memory"]).least
    assert known.random_feasible(np.random.default_rng(0), Budgets(memory_bytes=least), set()) is not None


def test_a_refusal_tells_a_budget_from_what_is_reachable_though_both_round_alike(known):
    least = known.range_of(OBJECTIVES["memory"]).least
    with pytest.raises(BudgetError, match=rf"memory <= {least - 1:.0f} B: .* {least:.0f} B, at"):
        known.require_reachable(Budgets(memory_bytes=least - 1))
