"""From a place on an axis to a budget, and back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mpsearch.report.inspector.axes import fitted_axis, following_axis, following_scale, value_at
from mpsearch.report.inspector.budget_dialog import budgets_of, reached_text, typed_text
from mpsearch.report.inspector.budget_drag import bound_at, nudged, parked_place, with_bound
from mpsearch.search.budgets import Budgets
from mpsearch.search.objective import OBJECTIVES

LATENCIES = [20e-6, 50e-6, 90e-6, 150e-6]
ACCURACIES = [0.71, 0.9, 0.95, 0.97]


def axis(name, values, scale="auto", bound=None):
    return fitted_axis(name, values, [], bound=bound, scale=scale, is_near=False)


@pytest.mark.parametrize("scale", ["auto", "linear", "log"])
@pytest.mark.parametrize(("name", "values"), [("latency", LATENCIES), ("accuracy", ACCURACIES)])
def test_a_place_on_an_axis_and_its_value_are_inverse(name, values, scale):
    fitted = axis(name, values, scale)
    for value in values:
        assert value_at(fitted, fitted.place(value)) == pytest.approx(value)


def test_the_scale_asked_for_is_the_one_that_is_drawn():
    assert axis("latency", LATENCIES, "log").kind == "log"
    assert axis("latency", LATENCIES, "linear").kind == "linear"
    assert axis("accuracy", ACCURACIES, "log").kind == "log error"


def test_near_axes_leave_far_trials_out_and_others_do_not():
    near = fitted_axis("latency", [1e-6, 2e-6], [1e-3], bound=None, scale="linear", is_near=True)
    assert near.place(1e-3) > 1
    far = fitted_axis("latency", [1e-6, 2e-6], [1e-3], bound=None, scale="linear", is_near=False)
    assert far.place(1e-3) <= 1


def test_a_bound_beside_the_trials_is_on_the_axis_and_one_far_away_is_not():
    assert 0 < axis("latency", LATENCIES, bound=200e-6).place(200e-6) < 1
    assert axis("latency", LATENCIES, bound=1.0).place(1.0) > 1


def test_a_dragged_cost_is_rounded_to_three_figures_and_unbounded_at_the_far_end():
    fitted = axis("latency", LATENCIES)
    bound = bound_at("latency", fitted, fitted.place(81.2345e-6))
    assert bound == 81.2e-6
    assert bound_at("latency", fitted, 1.0) is None
    assert bound_at("latency", fitted, 1.7) is None
    assert parked_place("latency") == 1.0


def test_a_dragged_accuracy_bounds_from_below_and_is_unbounded_at_the_low_end():
    fitted = axis("accuracy", ACCURACIES, "linear")
    assert bound_at("accuracy", fitted, fitted.place(0.90049)) == 0.9
    assert bound_at("accuracy", fitted, 0.0) is None
    assert parked_place("accuracy") == 0.0


def test_a_key_moves_a_bound_in_from_its_parking_place_and_out_again():
    fitted = axis("latency", LATENCIES)
    bound, seen = None, []
    for _ in range(80):
        bound = nudged("latency", fitted, bound, by=-1)
        seen.append(bound)
    assert all(later <= earlier for earlier, later in pairwise(seen))
    assert seen[-1] < min(LATENCIES)
    for _ in range(80):
        bound = nudged("latency", fitted, bound, by=1) if bound is not None else None
    assert bound is None


def test_a_nudge_moves_even_where_rounding_would_hold_the_bound():
    fitted = axis("accuracy", [0.9991, 0.9996], "linear")
    assert nudged("accuracy", fitted, 0.999, by=3) != 0.999


def test_one_bound_changes_and_the_others_stay():
    budgets = with_bound(Budgets(memory_bytes=1e4, accuracy=0.9), "memory", None)
    assert budgets == Budgets(accuracy=0.9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_typed_budget_comes_back_as_it_was(name):
    unit = {"1": "92.5%", "": "0.25", "s": "312us", "B": "41.2KB", "J": "5uJ"}[OBJECTIVES[name].unit]
    budgets = budgets_of({name: unit})
    assert budgets_of({name: typed_text(budgets, name)}) == budgets
    exact = with_bound(Budgets(), name, 0.123456789)
    assert budgets_of({name: typed_text(exact, name)}) == exact


def test_an_empty_field_is_no_budget_and_the_range_reached_is_named(run):
    assert budgets_of({"latency": " ", "memory": ""}) == Budgets()
    assert reached_text(run, "accuracy").count("%") == 2


def test_axes_go_round_and_never_show_the_same_twice():
    seen, name = set(), "latency"
    for _ in range(5):
        name = following_axis(name, "accuracy", OBJECTIVES)
        assert name != "accuracy"
        seen.add(name)
    assert len(seen) == 5
    assert [following_scale(scale) for scale in ("auto", "linear", "log")] == ["linear", "log", "auto"]
