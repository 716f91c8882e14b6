"""What the inspector shows, before anything is drawn."""

from __future__ import annotations

import pytest

from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.filter_bar import FilterState, filter_state
from mpsearch.report.inspector.trade import beaten_by, difference, neighbours, trade
from mpsearch.report.inspector.view_state import (
    Looks,
    first_cursor,
    first_looks,
    marks_after,
    pair_to_compare,
    scene_of,
)
from mpsearch.search.budgets import Budgets
from mpsearch.search.trial_filter import TrialFilter


def scene(run, budgets=None, **looks):
    chosen = {"x": "latency", "y": "accuracy", **looks}
    return scene_of(run, run.budgets if budgets is None else budgets, Looks(**chosen))


def layers(run):
    return tuple(layer.name for layer in run.model.layers)


def test_the_first_axes_are_accuracy_against_the_first_cost(run):
    assert (first_looks(run).x, first_looks(run).y) == ("latency", "accuracy")


def test_the_front_is_walked_by_the_axis_to_the_right(run):
    for x in ("latency", "memory", "energy", "latency_p99"):
        shown = scene(run, x=x)
        field = {"memory": "memory_bytes", "energy": "energy_j"}.get(x, f"{x}_s")
        values = [getattr(run.trial(number), field) for number in shown.front_order]
        assert values == sorted(values)
        assert set(shown.front_order) == set(run.front.numbers)


def test_the_first_cursor_is_the_knee_or_else_any_trial_there_is(run, tmp_path, make_inspected_run):
    assert first_cursor(scene(run)) == run.front.knee().number
    failed = make_inspected_run(tmp_path / "failed", trials=3, failures=3)
    assert first_cursor(scene(failed)) == 0
    assert scene(failed).x_axis is None
    empty = make_inspected_run(tmp_path / "empty", trials=0, failures=0)
    assert first_cursor(scene(empty)) is None


def test_budgets_on_show_judge_the_run_anew(run):
    bound = sorted(record.latency_s for record in run.records)[10]
    shown = scene(run, Budgets(latency_s=bound))
    assert shown.fitting == {r.number for r in run.records if r.is_complete and r.latency_s <= bound}
    assert shown.best == run.front.best({"latency": f"{bound!r}s"}).number
    assert scene(run).best is None


def test_what_a_filter_drops_is_not_walked_but_still_there(run):
    kept = TrialFilter.parse("latency<200us", layers(run))
    shown = scene_of(run, run.budgets, Looks(x="latency", y="accuracy"), kept=kept)
    assert 0 < len(shown.front_order) < len(run.front)
    assert {spot.number for spot in shown.hidden_spots} == {
        record.number for record in run.records if record.is_complete and record.latency_s >= 200e-6
    }


def test_spots_past_the_end_of_an_axis_stay_at_its_end(run):
    near = scene(run, x="memory", y="energy")
    assert all(0 <= spot.x <= 1 and 0 <= spot.y <= 1 for spot in near.spots)


def test_the_staircase_rises_and_no_trial_lies_above_it(run):
    shown = scene(run)
    assert [y for _, y in shown.stairs] == sorted(y for _, y in shown.stairs)
    for spot in shown.spots:
        assert spot.y <= max(y for x, y in shown.stairs if x <= spot.x)
    assert scene(run, x="accuracy", y="latency").stairs == ()


def test_a_third_mark_takes_the_place_of_the_first_and_a_second_press_unmarks():
    marks = marks_after(marks_after(marks_after((), 4), 7), 9)
    assert marks == (7, 9)
    assert marks_after(marks, 7) == (9,)


def test_two_marks_are_compared_or_a_mark_and_the_cursor():
    assert pair_to_compare((4, 7), 9) == (4, 7)
    assert pair_to_compare((4,), 9) == (4, 9)
    assert pair_to_compare((9,), 9) is None
    assert pair_to_compare((), 9) is None
    assert pair_to_compare((), None) is None


def test_neighbours_are_the_next_on_the_front_on_either_side(run):
    shown = scene(run)
    order = shown.front_order
    assert neighbours(shown, order[0]) == (None, order[1])
    assert neighbours(shown, order[3]) == (order[2], order[4])
    assert neighbours(shown, order[-1]) == (order[-2], None)
    beside = next(spot for spot in shown.spots if not spot.is_on_front)
    left, right = neighbours(shown, beside.number)
    assert left is None or shown.spot_of[left].x <= beside.x
    assert right is None or shown.spot_of[right].x >= beside.x
    assert neighbours(shown, 10_000) == (None, None)


def test_a_trade_is_what_the_other_has_more(run):
    shown = scene(run)
    here, there = (run.trial(number) for number in shown.front_order[:2])
    step = trade(shown, here, there)
    assert step.number == there.number
    assert step.latency_s == pytest.approx(there.latency_s - here.latency_s)
    assert step.accuracy.change == pytest.approx(there.accuracy - here.accuracy)
    assert step.memory_bytes == there.memory_bytes - here.memory_bytes


def test_differences_that_only_rounding_makes_are_none():
    assert difference(0.1 + 0.2, 0.3) == 0.0
    assert difference(1e-6, 1.1e-6) == pytest.approx(1e-7)


def test_a_trial_off_the_front_is_beaten_by_one_that_is_no_worse_in_anything(run):
    shown = scene(run)
    for record in run.records:
        better = beaten_by(shown, record)
        if record.number in run.front or not record.is_complete:
            assert better is None
        else:
            assert better.accuracy >= record.accuracy
            assert better.latency_s <= record.latency_s
            assert better.memory_bytes <= record.memory_bytes


def test_costs_are_computed_once_per_policy(run, monkeypatch):
    costs = CostCache()
    policy = run.records[3].policy
    report = costs.report(run, policy)
    assert report.latency_s == pytest.approx(run.records[3].latency_s)
    monkeypatch.setattr("mpsearch.cost.cost_model.CostModel.evaluate", None)
    assert costs.report(run.with_budgets(Budgets()), policy) is report


def test_costs_that_the_profile_lacks_are_a_problem_and_no_crash(run, make_inspected_run, tmp_path):
    import dataclasses

    other = make_inspected_run(tmp_path / "other", trials=3, failures=0, layers=5)
    broken = dataclasses.replace(
        other, profile=dataclasses.replace(other.profile, measurements=(), remainders=())
    )
    costs = CostCache()
    assert costs.report(broken, other.records[0].policy) is None
    assert "profile" in costs.problem
    assert costs.report(run, run.records[0].policy) is not None
    assert costs.problem is None


def test_while_a_filter_is_being_typed_the_last_whole_one_holds(run):
    names = layers(run)
    whole = filter_state("latency<300us", names, FilterState())
    assert whole.kept is not None
    half = filter_state("latency<300us and acc", names, whole)
    assert half.kept is whole.kept
    assert "acc" in half.problem
    assert filter_state("  ", names, half) == FilterState()
