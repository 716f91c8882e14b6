import numpy as np
import pytest

from mpsearch.errors import BudgetError, ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search import known_costs as known_costs_module
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.narrowing import narrowed
from mpsearch.search.objective import COSTS, OBJECTIVES
from mpsearch.search.overrides import Overrides
from mpsearch.search.preparation import cost_models
from mpsearch.search.resolve import all_codes, cost_model_of
from mpsearch.search.study import distributions_of
from mpsearch.search.widths import WIDTH_CHOICE

WIDTHS = (0.5, 1, 2)


@pytest.fixture
def known(wide_space, wide_traced, wide_profile):
    return KnownCosts(wide_traced.resolved, cost_models(wide_space, wide_traced, wide_profile, ()))


def every_cost(known):
    codes = np.concatenate(list(all_codes(known.resolved)))
    return codes, known.evaluate(codes)


def test_a_width_is_one_more_choice(known):
    resolved = known.resolved
    assert resolved.policies == 3**3 * 3
    assert distributions_of(resolved)[WIDTH_CHOICE].high == 2
    codes, _ = every_cost(known)
    policies = [resolved.policy(row) for row in codes]
    assert len(set(policies)) == len(policies) == resolved.policies
    assert all((resolved.codes(p) == row).all() for p, row in zip(policies, codes, strict=True))
    assert {policy.width for policy in policies} == set(WIDTHS)


def test_each_policy_costs_what_it_costs_in_the_model_of_its_width(
    known, wide_space, wide_traced, wide_profile
):
    models = {w: cost_model_of(wide_space, t, wide_profile) for w, t in wide_traced.traces.items()}
    codes, table = every_cost(known)
    for row, costs in list(zip(codes, table, strict=True))[::7]:
        policy = known.resolved.policy(row)
        report = models[policy.width].evaluate(policy)
        assert [getattr(report, cost.field) for cost in COSTS] == costs.tolist()
        assert known.costs(policy).memory_bytes == report.memory_bytes


def test_the_ends_are_those_of_all_widths(known):
    _, table = every_cost(known)
    for place, cost in enumerate(COSTS):
        found = known.range_of(cost)
        assert (found.least, found.greatest) == (table[:, place].min(), table[:, place].max())
        assert cost.of(known.costs(found.least_policy)) == found.least
    assert known.range_of(OBJECTIVES["memory"]).least_policy.width == 0.5
    assert known.range_of(OBJECTIVES["memory"]).greatest_policy.width == 2


def test_budgets_that_only_one_width_meets_are_met_by_it(known, monkeypatch):
    codes, table = every_cost(known)
    memory = table[:, [cost.name for cost in COSTS].index("memory")]
    bound = memory[codes[:, -1] == 1].min() - 1
    budgets = Budgets(memory_bytes=bound)
    known.require_reachable(budgets)
    for enumerable in (known_costs_module.ENUMERABLE, 0):
        monkeypatch.setattr(known_costs_module, "ENUMERABLE", enumerable)
        found = known.random_feasible(np.random.default_rng(0), budgets, ())
        assert known.resolved.policy(found).width == 0.5
    with pytest.raises(BudgetError, match=r"at width 0\.5: "):
        known.require_reachable(Budgets(memory_bytes=memory.min() - 1))


def test_a_neighbour_may_be_the_next_width(known):
    codes = known.resolved.codes(known.resolved.anchors()[0])
    seen = {tuple(codes.tolist())}
    for _ in range(12):
        near = known.random_neighbour(np.random.default_rng(len(seen)), Budgets(), seen, codes)
        seen.add(tuple(near.tolist()))
    assert any(row[-1] != codes[-1] for row in seen)


def test_the_uniform_policies_are_tried_at_every_width(known):
    anchors = known.resolved.anchors()
    schemes = ["w32a32", "w4a8", "w1a1"]
    assert [(p.uniform_scheme.name, p.width) for p in anchors] == [(s, w) for s in schemes for w in WIDTHS]


def test_overrides_leave_every_width(known):
    allowed = narrowed(known.resolved, Overrides.parse({"0": "w4a8"}))
    assert allowed.widths == WIDTHS
    assert allowed.policies == 3**2 * 3


def test_a_policy_of_another_width_is_none_of_the_space(known):
    policy = known.resolved.anchors()[0]
    for width in (None, 3):
        with pytest.raises(ConfigError, match=r"must be 0\.5, 1, 2; got"):
            known.resolved.codes(policy.at_width(width))


def test_a_policy_with_a_width_is_none_of_a_space_without(resolved):
    wide = PrecisionPolicy.uniform(resolved.layers, resolved.anchors()[0][resolved.layers[0]]).at_width(1)
    with pytest.raises(ConfigError, match="must be none; got"):
        resolved.codes(wide)
