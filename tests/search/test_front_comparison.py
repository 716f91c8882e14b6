"""Fronts of runs against each other."""

from __future__ import annotations

import dataclasses

import pytest

from mpsearch.errors import ConfigError
from mpsearch.search.front_comparison import compare_fronts
from mpsearch.search.overrides import Overrides
from mpsearch.search.space import TaskReference


def with_scores(run, change):
    """The same run with every score changed."""
    records = tuple(
        dataclasses.replace(r, score=min(max(r.score + change, 0.0), 1.0)) if r.is_complete else r
        for r in run.records
    )
    return dataclasses.replace(run, records=records)


def test_a_run_against_itself_is_a_draw(finished_run):
    comparison = compare_fronts([finished_run, finished_run])
    assert comparison.obstacles == comparison.differences == ()
    assert comparison.hypervolumes[0] == pytest.approx(finished_run.hypervolume)
    assert comparison.hypervolumes[0] == comparison.hypervolumes[1]
    assert comparison.coverage == ((0.0, 0.0), (0.0, 0.0))
    assert all(row.best[0] == row.best[1] for row in comparison.budgets)


def test_a_run_that_scores_more_everywhere_beats_the_whole_front(finished_run):
    worse = with_scores(finished_run, -0.05)
    comparison = compare_fronts([finished_run, worse])
    assert comparison.coverage[0][1] == 1.0
    assert comparison.coverage[1][0] == 0.0
    assert comparison.hypervolumes[0] > comparison.hypervolumes[1]
    for row in comparison.budgets:
        assert row.best[0].accuracy > row.best[1].accuracy
        cost = row.objective.field
        assert getattr(row.best[0], cost) <= row.bound


def of_task(run, name, **args):
    task = TaskReference(name=name, args=args)
    return dataclasses.replace(run, space=dataclasses.replace(run.space, task=task))


@pytest.mark.parametrize(
    ("name", "other", "args", "others"),
    [
        ("/here/code/clouds.py:task", "/there/code/clouds.py:task", {}, {}),
        ("cifar10", "cifar10", {"model": "resnet20"}, {"data": "/mnt/cifar10", "model": "resnet20"}),
    ],
)
def test_a_run_and_its_copy_elsewhere_are_of_one_task(finished_run, name, other, args, others):
    copied = of_task(finished_run, other, **others)
    assert compare_fronts([of_task(finished_run, name, **args), copied]).obstacles == ()


@pytest.mark.parametrize(
    ("name", "other"), [("clouds.py:task", "rain.py:task"), ("clouds.py:task", "clouds.py:other")]
)
def test_scores_of_two_tasks_are_not_compared(finished_run, name, other):
    for theirs in (of_task(finished_run, other, data="a"), of_task(finished_run, name, data="b")):
        comparison = compare_fronts([of_task(finished_run, name, data="a"), theirs])
        assert "tasks or validation samples differ: accuracies mean different things" in comparison.obstacles


def test_three_runs_have_a_coverage_for_each_pair(finished_run):
    comparison = compare_fronts([finished_run, with_scores(finished_run, -0.1), finished_run])
    assert [len(row) for row in comparison.coverage] == [3, 3, 3]
    assert comparison.coverage[2][1] == 1.0


def test_the_box_reaches_to_the_greatest_cost_of_any_run(finished_run):
    greatest = dataclasses.replace(finished_run.greatest_costs, memory_bytes=10**9)
    larger = dataclasses.replace(finished_run, greatest_costs=greatest)
    comparison = compare_fronts([finished_run, larger])
    assert comparison.reference_point["memory"] == max(
        larger.reference_point["memory"], finished_run.reference_point["memory"]
    )
    assert comparison.hypervolumes[0] == comparison.hypervolumes[1]


def test_latencies_of_another_machine_are_left_out_and_it_is_said(finished_run):
    machine = dataclasses.replace(finished_run.profile.fingerprint, cpu_model="Other processor")
    profile = dataclasses.replace(finished_run.profile, fingerprint=machine)
    comparison = compare_fronts([finished_run, dataclasses.replace(finished_run, profile=profile)])
    assert [o.name for o in comparison.objectives] == ["accuracy", "memory"]
    assert "different machines" in comparison.obstacles[0]
    assert "Other processor" in comparison.obstacles[0]
    assert all(row.objective.name == "memory" for row in comparison.budgets)


def test_scores_of_other_samples_leave_nothing_to_compare(finished_run):
    comparison = compare_fronts([finished_run, dataclasses.replace(finished_run, validation_samples=10)])
    assert "accuracies mean different things" in comparison.obstacles[0]
    assert comparison.objectives == comparison.fronts == comparison.hypervolumes == comparison.coverage == ()
    assert comparison.budgets == ()


def test_other_models_times_of_profiling_and_trials_are_noted(finished_run):
    other = dataclasses.replace(
        finished_run,
        model=dataclasses.replace(finished_run.model, fingerprint="f" * 16),
        profile=dataclasses.replace(finished_run.profile, created="2026-02-01T00:00:00Z"),
        records=finished_run.records[:9],
    )
    comparison = compare_fronts([finished_run, other])
    assert comparison.obstacles == ()
    told = " ".join(comparison.differences)
    for words in ("models differ", "different times", "29, 9 scored trials"):
        assert words in told


def test_each_front_keeps_to_the_overrides_of_its_run(finished_run):
    overrides = Overrides.parse(pins=["conv1=w8a8"])
    pinned = dataclasses.replace(
        finished_run, space=dataclasses.replace(finished_run.space, overrides=overrides)
    )
    comparison = compare_fronts([finished_run, pinned])
    assert (
        {r.number for r in comparison.fronts[1]}
        == set(pinned.front.numbers)
        != set(finished_run.front.numbers)
    )
    assert comparison.hypervolumes[1] == pytest.approx(pinned.hypervolume)
    best = [row.best[1] for row in comparison.budgets]
    assert all(record is None or overrides.allows(record.policy) for record in best)
    assert any("none against conv1 pinned to w8a8" in told for told in comparison.differences)


def test_a_run_without_trials_has_an_empty_front(finished_run):
    comparison = compare_fronts([finished_run, dataclasses.replace(finished_run, records=())])
    assert comparison.hypervolumes[1] == 0.0
    assert comparison.coverage[0][1] != comparison.coverage[0][1]  # NaN: there is nothing to beat
    assert all(row.best[1] is None for row in comparison.budgets)


def test_one_run_is_no_comparison(finished_run):
    with pytest.raises(ConfigError, match="at least two"):
        compare_fronts([finished_run])
