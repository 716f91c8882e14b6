"""What is said of several policies at once: how their work is counted, and when the bar is met."""

from __future__ import annotations

import random

import pytest
from batched import INNER, OUTER, RECIPE, operations, operations_a_second, prepared, random_policy
from qat_page import TABLES

from mpsearch.models.quantizable import is_candidate
from mpsearch.precision.policy import PrecisionPolicy


@pytest.fixture(scope="module")
def mlp():
    return prepared("digits-mlp")


def test_products_of_all_steps_are_counted_forward_and_back_and_the_teachers_once(mlp):
    task, baseline = mlp
    sizes = [
        (module.in_features, module.out_features)
        for module in task.new_model().modules()
        if is_candidate(module)
    ]
    forward = 2 * RECIPE.batch_size * sum(n * m for n, m in sizes)
    backward = 2 * forward - 2 * RECIPE.batch_size * sizes[0][0] * sizes[0][1]  # no gradient of the pixels
    names = [name for name, module in task.new_model().named_modules() if is_candidate(module)]
    low = PrecisionPolicy(dict.fromkeys(names, "w1.58a8"))
    steps = RECIPE.steps_for(low, 0.5)
    assert operations(task, baseline, [low, low], 0.5) == steps * (2 * (forward + backward) + forward)


def test_a_core_computes():
    assert operations_a_second() > 0


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
        "most": (7.0, 7.0, 7.0),
        "score_differences": (0.01, -0.01),
    }
    (row,) = TABLES["batched"]({"batched": [line]}).splitlines()[2:]
    assert f"| ≥ 3: {verdict} |" in row
    assert row.endswith("| 7.0 | +0.00 ± 1.41 |")
