from dataclasses import replace

import numpy as np
import pytest

from mpsearch.errors import ConfigError
from mpsearch.search.precision_order import PrecisionOrder
from tests.search.baseline_problem import OFFERED, known_policies


def test_places_grow_with_precision_whatever_the_order_of_the_codes():
    order = PrecisionOrder.of(known_policies(2))
    assert [OFFERED[code] for code in order.ascending[0]] == ["w1a1", "w4a8", "w8a8", "w32a32"]
    codes = np.array([[0, 1], [2, 3]])
    assert order.places_of(codes).tolist() == [[2, 0], [3, 1]]
    assert (order.codes_at(order.places_of(codes)) == codes).all()


def test_what_is_not_allowed_has_no_place_of_its_own():
    policies = known_policies(2)
    w8_w4 = np.array([True, False, False, True])
    order = PrecisionOrder.of(replace(policies, allowed=(w8_w4, np.ones(4, bool))))
    assert order.sizes.tolist() == [2, 4]
    assert [OFFERED[code] for code in order.ascending[0]] == ["w4a8", "w8a8"]
    # w8a8, w1a1, w32a32, w4a8: the next higher one that is allowed, or the highest.
    assert order.places[0].tolist() == [1, 0, 1, 0]


def test_a_width_keeps_its_codes():
    policies = known_policies(2)
    order = PrecisionOrder.of(replace(policies, places=(policies.places[0], None)))
    assert order.ascending[1].tolist() == [0, 1, 2, 3]


def test_a_choice_that_is_allowed_nothing_is_refused_by_its_name():
    policies = known_policies(2)
    nothing = replace(policies, allowed=(np.ones(4, bool), np.zeros(4, bool)))
    with pytest.raises(ConfigError, match=r"got none for 'layer1'. Allow one of its 4"):
        PrecisionOrder.of(nothing)
