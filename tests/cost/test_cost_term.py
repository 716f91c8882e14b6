"""Batches are chunked and terms joined without a change of the sum."""

import numpy as np
import pytest

from mpsearch.cost import cost_term
from mpsearch.cost.cost_term import COST_COLUMNS, CostSum, CostTerm

SIZES = [4, 3, 5, 2, 6, 3]


@pytest.fixture
def terms():
    rng = np.random.default_rng(0)
    made = []
    for layers in [(0,), (0, 1), (1, 2), (3, 2, 5), (3, 4), (5,)]:
        offsets, entries = [], 1
        for layer in layers:
            offsets.append(rng.permutation(SIZES[layer]) * entries)
            entries *= SIZES[layer]
        table = rng.random((entries, len(COST_COLUMNS)))
        made.append(CostTerm(layers=layers, offsets=tuple(offsets), table=table))
    return made


@pytest.mark.parametrize("block", [1, 30, 2048])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_sums_are_those_of_the_terms_one_by_one(terms, monkeypatch, block, kind):
    monkeypatch.setattr(cost_term, "_BLOCK_ENTRIES", block)
    monkeypatch.setattr(cost_term, "_CHUNK", 7)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, SIZES, (40, len(SIZES))).astype(kind)
    constant = rng.random(len(COST_COLUMNS))
    costs, in_range = CostSum(terms, constant, SIZES).evaluate(codes)
    assert in_range
    for row, code in zip(costs, codes, strict=True):
        expected = constant + sum(term.table[term.entry(code)] for term in terms)
        assert row == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("odd", [-1, 3, 200])
def test_a_code_out_of_range_is_noticed_in_any_chunk(terms, monkeypatch, odd):
    monkeypatch.setattr(cost_term, "_CHUNK", 7)
    codes = np.zeros((40, len(SIZES)), np.int16)
    codes[33, 1] = odd
    assert not CostSum(terms, np.zeros(len(COST_COLUMNS)), SIZES).evaluate(codes)[1]
