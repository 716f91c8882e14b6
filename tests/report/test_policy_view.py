"""`mpsearch show`: one policy, its layers, and what others have more or less."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.policy_changes import NamedTrial, change_table, difference_strip, noise_text
from mpsearch.report.policy_view import companions, policy_view
from mpsearch.report.units import ColumnUnit
from mpsearch.search.score_difference import score_difference


def shown(view, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 250])
def test_it_fits_and_tells_every_number_with_its_origin(finished_run, width):
    knee = finished_run.front.knee().record
    text = shown(policy_view(finished_run, knee), width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    for words in (
        "95% interval",
        "449 validation samples",
        "predicted median",
        "every layer timed",
        "estimated",
        f"loss {knee.loss:.3f} on validation",
    ):
        assert words in flat


def test_neighbours_are_those_before_and_after_it_on_the_front(finished_run):
    front = finished_run.front.records
    names = {named.name: named.record for named in companions(finished_run, front[1])}
    assert names["next faster"] == front[0]
    assert names["next slower"] == front[2]
    first = {named.name for named in companions(finished_run, front[0])}
    assert "next faster" not in first


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        (["loss", "memory"], ("next smaller", "next larger")),
        (["accuracy", "compressed_size"], ("next smaller", "next larger")),
        (["latency", "memory"], ("next faster", "next slower")),
    ],
)
def test_neighbours_are_called_by_what_they_have_less_and_more_of(finished_run, objectives, names):
    run = judged_by(finished_run, objectives)
    cost = next(objective for objective in run.objectives if not objective.is_learnt)
    assert len(run.front.records) > 1
    for record in run.front.records:
        found = {named.name: cost.of(named.record) for named in companions(run, record)}
        less, more = (found.get(name, cost.of(record)) for name in names)
        assert less <= cost.of(record) <= more


def test_of_one_objective_all_on_the_front_are_as_good(finished_run):
    run = judged_by(finished_run, ["accuracy"])
    places = [{named.name for named in companions(run, record)} for record in run.front.records]
    assert not {"next better", "next worse"} & set().union(*places)
    assert len(places) == 1 or all("as good" in names for names in places)


def judged_by(run, objectives):
    """By any objectives: also those that are of newer runs."""
    known = dataclasses.replace(run.baseline, constant_loss=2.3, compressed={})
    every = [
        dataclasses.replace(
            record, costs=dataclasses.replace(record.costs, compressed_bytes=record.memory_bytes)
        )
        for record in run.records
    ]
    greatest = dataclasses.replace(run.greatest_costs, compressed_bytes=run.greatest_costs.memory_bytes)
    known_run = dataclasses.replace(run, baseline=known, records=tuple(every), greatest_costs=greatest)
    return known_run.with_objectives(objectives)


def test_a_trial_off_the_front_is_shown_beside_one_that_beats_it(finished_run):
    beaten = next(r for r in finished_run.records if r.is_complete and r.number not in finished_run.front)
    better = next(n.record for n in companions(finished_run, beaten) if n.name == "beats it")
    assert better.number in finished_run.front
    assert better.accuracy >= beaten.accuracy
    assert better.latency_s <= beaten.latency_s
    assert better.memory_bytes <= beaten.memory_bytes


def test_nobody_is_compared_with_itself_and_nobody_twice(finished_run):
    for record in finished_run.records:
        numbers = [named.record.number for named in companions(finished_run, record)]
        assert record.number not in numbers
        assert len(set(numbers)) == len(numbers)


def test_changes_are_those_of_the_other_from_this_one(finished_run):
    this, other = finished_run.records[3], finished_run.records[4]
    text = shown(change_table(finished_run, this, [NamedTrial(name="all w8a8", record=other)]), 150)
    row = text.splitlines()[-1]
    assert f"{100 * (other.accuracy - this.accuracy):+.2f}" in row
    assert f"{1e6 * (other.latency_s - this.latency_s):+.1f}" in row
    assert f"{1e-3 * (other.memory_bytes - this.memory_bytes):+.1f}" in row


def test_only_layers_that_differ_are_drawn():
    layers = ["a", "b", "c", "d"]
    this = PrecisionPolicy(dict.fromkeys(layers, "w8a8"))
    other = PrecisionPolicy({**this.names(), "b": "w1a1"})
    assert difference_strip(other, this, layers, 4).plain == "·x··"
    assert difference_strip(other, this, layers, 2).plain == "x·"


def test_a_failed_trial_is_shown_with_its_reason_and_without_a_score(finished_run):
    failed = finished_run.records[-1]
    text = shown(policy_view(finished_run, failed), 100)
    assert "failed: the loss became NaN at step 3" in text
    assert "score" not in text
    assert "the others" not in text


def test_a_difference_is_called_noise_where_its_interval_holds_none():
    assert noise_text(score_difference(0.9, 0.91, 100)) == "within noise"
    assert noise_text(score_difference(0.8, 0.95, 1000)) == "better"
    assert noise_text(score_difference(0.95, 0.8, 1000)) == "worse"
    assert noise_text(score_difference(1.5, 0.8, 1000)) == ""


def test_a_deep_policy_has_its_layers_numbered_line_by_line(finished_run):
    record = finished_run.records[8]
    names = [f"block.{place}" for place in range(120)]
    layer = finished_run.model.layers[0]
    layers = tuple(dataclasses.replace(layer, name=name) for name in names)
    policy = PrecisionPolicy(dict.fromkeys(names, "w4a8"))
    deep = dataclasses.replace(
        finished_run,
        model=dataclasses.replace(finished_run.model, layers=layers),
        records=(dataclasses.replace(record, policy=policy, number=0),),
    )
    lines = [line.strip() for line in shown(policy_view(deep, deep.records[0]), 80).splitlines()]
    assert sum(line == 50 * "4" for line in lines) == 2
    assert "51  55   60   65   70   75   80   85   90   95" in lines


def test_parts_of_a_whole_share_its_unit_and_can_all_be_seen():
    unit = ColumnUnit.fitting_parts("B", [420.0, 90.0, 20_700.0])
    assert (unit.name, unit.decimals) == ("KB", 2)
    assert ColumnUnit.fitting("s", [8e-6]).change_text(-5e-7) == "-0.50"
    assert ColumnUnit.fitting("s", [8e-6]).change_text(-5e-10) == "0"
