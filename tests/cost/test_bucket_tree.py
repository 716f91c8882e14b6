"""What single factors add at least, and all others at least, against all assignments."""

from itertools import product

import numpy as np
import pytest

from mpsearch.cost.bucket_tree import BucketTree

SIZES = (3, 2, 4, 3, 2, 3)
SCOPES = [(1, 0), (1, 2), (2, 3), (0, 3), (4,), ()]


def factors_of(seed):
    rng = np.random.default_rng(seed)
    return [(scope, rng.normal(size=(*(SIZES[v] for v in scope), 2))) for scope in SCOPES]


def sums(factors):
    """Of all assignments: (assignments, sums)."""
    values = np.array(list(product(*map(range, SIZES))))
    total = sum(table[tuple(values[:, v] for v in scope)] for scope, table in factors)
    return values, total


@pytest.mark.parametrize("seed", range(3))
def test_the_least_of_each_function_is_that_over_all_assignments(seed):
    tree = BucketTree(factors_of(seed), SIZES, 2)
    _, total = sums(factors_of(seed))
    assert np.allclose(tree.least(), total.min(axis=0))
    assert np.allclose(-tree.negated().least(), total.max(axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_below_a_bucket_and_rest_bound_every_assignment_and_one_reaches_them(seed):
    tree = BucketTree(factors_of(seed), SIZES, 2)
    below = tree.least_below()
    rest = tree.least_rest(below)
    values, total = sums(factors_of(seed))
    for place, bucket in enumerate(tree.buckets):
        at = tuple(values[:, v] for v in bucket.scope)
        bound = np.broadcast_to(below[place].table[at] + rest[place].table[at] + tree.constant, total.shape)
        assert (bound <= total + 1e-9).all()
        for states in product(*(range(SIZES[v]) for v in bucket.scope)):
            rows = (values[:, list(bucket.scope)] == states).all(axis=1)
            assert np.allclose(bound[rows][0], total[rows].min(axis=0))


def test_the_size_of_the_largest_table_is_known_before_any_is_made():
    clique = [((a, b), np.zeros((9, 9, 1))) for a in range(12) for b in range(a)]
    assert BucketTree(clique, (9,) * 12, 1).entries == 9**12
