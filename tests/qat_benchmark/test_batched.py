"""What is said of several policies at once: which are drawn, and when the bar is met."""

from __future__ import annotations

import random

import pytest
from batched import INNER, OUTER, Turn, never_one_by_one, random_policy
from qat_page import TABLES

from mpsearch.training.batched_trials import LOG


def test_the_ends_of_a_drawn_policy_take_inputs_of_8_bits_at_least():
    drawn = [random_policy(["first", "inner", "last"], random.Random(seed)).names() for seed in range(60)]
    assert {policy["first"] for policy in drawn} | {policy["last"] for policy in drawn} == set(OUTER)
    assert {policy["inner"] for policy in drawn} == set(INNER)


@pytest.mark.parametrize(("ratios", "verdict"), [((2.0, 3.0, 9.0), "met"), ((2.0, 2.9, 9.0), "missed")])
def test_the_bar_is_judged_by_the_median_of_the_rounds_on_two_cores(ratios, verdict):
    line = {
        "model": "m",
        "batch": 8,
        "bar": 3.0,
        "cores_ratios": ratios,
        "cpu_ratios": (5.0, 5.0, 5.0),
        "score_differences": (0.01, -0.01),
    }
    (row,) = TABLES["batched"]({"batched": [line]}).splitlines()[2:]
    assert f"| ≥ 3: {verdict} |" in row
    assert row.endswith("| 5.00 (5.00 to 5.00) | +0.00 ± 1.41 |")


def test_two_processes_train_twice_the_policies_of_one():
    turn = Turn(alone_s=8.0, together_s=4.0, alone_on_the_clock_s=9.0, together_on_cores_s=6.0, apart=(0.0,))
    assert turn.on_cores == 3.0


def test_nothing_is_measured_where_policies_fall_back_to_one_by_one():
    before = LOG.level, list(LOG.handlers)
    with (
        pytest.raises(RuntimeError, match=r"trained together here\. Training 8 policies"),
        never_one_by_one(),
    ):
        LOG.info("Training %d policies one by one", 8)
    assert (LOG.level, LOG.handlers) == before
