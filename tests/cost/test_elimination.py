"""Minimising sums of tables: exact where tables stay small, a bound where not."""

from itertools import product

import numpy as np
import pytest

from mpsearch.cost.cost_term import CostTerm
from mpsearch.cost.elimination import Factor, elimination_order, factor_of, least_sum

SIZES = (3, 2, 4, 3, 2)
SCOPES = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4,), ()]


def factors_of(seed):
    rng = np.random.default_rng(seed)
    return [Factor(variables=scope, table=rng.random([SIZES[v] for v in scope])) for scope in SCOPES]


def total(factors, values):
    return sum(float(factor.table[tuple(values[v] for v in factor.variables)]) for factor in factors)


@pytest.mark.parametrize("seed", range(5))
def test_the_least_sum_is_that_of_all_assignments(seed):
    factors = factors_of(seed)
    found = least_sum(factors, SIZES, elimination_order(SCOPES, SIZES))
    best = min(total(factors, values) for values in product(*map(range, SIZES)))
    assert found.is_exact
    assert found.bound == pytest.approx(best)
    assert total(factors, found.values) == pytest.approx(best)


def test_a_chain_is_eliminated_from_its_ends():
    order = elimination_order([(1, 0), (1, 2), (2, 3)], (6, 6, 6, 6))
    assert order[0] == 0
    assert sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_where_tables_must_stay_small_no_assignment_is_below_the_bound(seed):
    factors = factors_of(seed)
    found = least_sum(factors, SIZES, range(len(SIZES)), entries=12)
    best = min(total(factors, values) for values in product(*map(range, SIZES)))
    assert not found.is_exact
    assert found.bound <= best <= total(factors, found.values)


def test_a_term_becomes_a_factor_of_the_variables_of_its_layers():
    rng = np.random.default_rng(0)
    term = CostTerm(
        layers=(0, 1, 2),
        offsets=(np.array([0, 9, 18]), np.array([0, 1, 3]), np.array([0, 3])),
        table=rng.random((27, 5)),
    )
    codes = [np.arange(3), np.arange(3), np.arange(2)]
    costs = term.table[:, 0]
    factor, is_exact = factor_of(term, costs, [0, 1, 2], codes)
    assert is_exact
    for values in product(range(3), range(3), range(2)):
        assert factor.table[values] == costs[term.entry(values)]
    bounded, is_exact = factor_of(term, costs, [0, 1, 2], codes, entries=9)
    assert not is_exact
    assert bounded.variables == (0, 1)
    assert np.array_equal(bounded.table, factor.table.min(axis=2))


def test_layers_that_share_a_variable_share_an_axis():
    term = CostTerm(
        layers=(0, 1), offsets=(np.array([0, 2]), np.array([0, 1])), table=np.arange(20.0).reshape(4, 5)
    )
    factor, _ = factor_of(term, term.table[:, 0], [0, 0], [np.arange(2), np.arange(2)])
    assert factor.table.tolist() == [0.0, 15.0]
