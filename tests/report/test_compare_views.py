"""`mpsearch compare`: policies side by side, and fronts of runs."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.console import Console

from mpsearch.report.compare_fronts import fronts_json, fronts_plot, fronts_view, run_names
from mpsearch.report.compare_policies import policies_json, policies_view
from mpsearch.search.front_comparison import compare_fronts
from mpsearch.search.repeated_trials import pooled


def shown(view, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


@pytest.fixture
def other_run(finished_run, tmp_path):
    records = tuple(
        dataclasses.replace(r, score=max(r.score - 0.03, 0.0)) if r.is_complete else r
        for r in finished_run.records[:20]
    )
    return dataclasses.replace(finished_run, records=records, path=tmp_path / "other")


def test_whether_an_interval_covers_the_seeds_is_said_as_it_is(finished_run):
    first, second = (finished_run.trial(number) for number in (4, 8))
    text = " ".join(shown(policies_view(finished_run, [first, second]), 120).split())
    assert "another seed would add some" in text
    again = dataclasses.replace(first, number=999, seed=1, origin="repeat")
    records = tuple(pooled([*finished_run.records, again]))
    run = dataclasses.replace(finished_run, records=records)
    text = " ".join(shown(policies_view(run, [run.trial(4), second]), 120).split())
    assert "which covers the spread of seeds" in text
    assert "another seed would add some" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 250])
def test_policies_fit_any_width_and_name_what_differs(finished_run, width):
    text = shown(policies_view(finished_run, [finished_run.trial(n) for n in (4, 8, 9)]), width)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    for words in ("trial 4", "trial 8", "trial 9", "same", "layers: ", "changes"):
        assert words in text


def test_each_layer_tells_what_its_change_costs_and_they_add_up(finished_run):
    first, second = finished_run.trial(4), finished_run.trial(8)
    document = json.loads(json.dumps(policies_json(finished_run, [first, second]), allow_nan=False))
    assert document["schema"] == 1
    assert [policy["number"] for policy in document["policies"]] == [4, 8]
    change = document["changes"][0]
    assert change["number"] == 8
    assert change["accuracy"] == second.accuracy - first.accuracy
    assert change["memory_bytes"] == sum(
        layer["memory_bytes"][1] - layer["memory_bytes"][0] for layer in document["layers"]
    )
    for layer in document["layers"]:
        assert layer["schemes"] == [r.policy[layer["name"]].name for r in (first, second)]
    text = shown(policies_view(finished_run, [first, second]), 140)
    assert f"{1e-3 * (second.memory_bytes - first.memory_bytes):+.1f}" in text


def test_scores_closer_than_their_noise_are_called_so(finished_run):
    first = finished_run.trial(4)
    close = dataclasses.replace(finished_run.trial(8), score=first.score + 0.002)
    text = shown(policies_view(finished_run, [first, close]), 200)
    assert "Trial 8 scores +0.20 points against trial 4" in text
    assert "within noise" in text
    far = dataclasses.replace(close, score=first.score - 0.3)
    assert "validation samples: worse." in shown(policies_view(finished_run, [first, far]), 200)


def test_a_failed_trial_can_be_compared_in_costs(finished_run):
    records = [finished_run.trial(4), finished_run.trial(29)]
    assert "there is no score to compare" in shown(policies_view(finished_run, records), 120)
    assert policies_json(finished_run, records)["changes"][0]["accuracy"] is None


@pytest.mark.parametrize("width", [40, 60, 80, 120, 250])
def test_fronts_fit_any_width(finished_run, other_run, width):
    text = shown(fronts_view(compare_fronts([finished_run, other_run])), width)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert "hypervolume" in text
    assert "best accuracy at a budget" in text


def test_json_has_null_for_what_is_unknown(finished_run):
    failed = next(record for record in finished_run.records if not record.is_complete)
    policies = json.loads(
        json.dumps(policies_json(finished_run, [finished_run.trial(4), failed]), allow_nan=False)
    )
    assert policies["policies"][1]["accuracy"] is None
    assert policies["changes"][0]["accuracy"] is None
    assert policies["changes"][0]["is_within_noise"] is None
    scaled = tuple(dataclasses.replace(r, score=31.0) if r.is_complete else r for r in finished_run.records)
    run = dataclasses.replace(finished_run, records=scaled)  # no interval: the metric leaves 0..1
    change = policies_json(run, [run.trial(4), run.trial(8)])["changes"][0]
    assert (change["accuracy"], change["interval"], change["is_within_noise"]) == (0, None, None)
    assert "unknown." in shown(policies_view(run, [run.trial(4), run.trial(8)]), 120)
    fronts = json.loads(json.dumps(fronts_json(compare_fronts([run, run])), allow_nan=False))
    assert {best["interval"] for row in fronts["best_at"] for best in row["best"] if best} == {None}


def test_both_fronts_are_in_one_plot_with_their_names(finished_run, other_run):
    text = shown(fronts_view(compare_fronts([finished_run, other_run])), 120)
    assert "● digits   ▲ other" in text
    assert text.count("knee") >= 2
    plot = fronts_plot(compare_fronts([finished_run, other_run]), ["a", "b"], x="memory", y="energy")
    assert "memory" in shown(plot, 80)


def test_fronts_that_cannot_be_compared_say_why_and_draw_nothing(finished_run, other_run):
    odd = dataclasses.replace(other_run, metric="top-5 accuracy")
    text = shown(fronts_view(compare_fronts([finished_run, odd])), 100)
    assert "accuracies mean different things" in text
    assert "Nothing is left" in text
    assert "better" not in text


def test_the_json_of_fronts_says_what_was_compared(finished_run, other_run):
    comparison = compare_fronts([finished_run, other_run])
    document = json.loads(json.dumps(fronts_json(comparison), allow_nan=False))
    assert document["schema"] == 1
    assert document["objectives"] == ["accuracy", "latency", "memory"]
    assert [run["name"] for run in document["runs"]] == ["digits", "other"]
    assert [run["hypervolume"] for run in document["runs"]] == list(comparison.hypervolumes)
    assert document["coverage"][0][1] == comparison.coverage[0][1]
    assert {"objective", "bound", "best"} <= set(document["best_at"][0])
    nothing = compare_fronts([finished_run, dataclasses.replace(other_run, metric="loss")])
    empty = json.loads(json.dumps(fronts_json(nothing), allow_nan=False))
    assert empty["objectives"] == []
    assert [run["hypervolume"] for run in empty["runs"]] == [None, None]


def test_runs_of_one_name_are_told_apart_by_their_folders(finished_run, tmp_path):
    paths = [tmp_path / "a" / "digits", tmp_path / "b" / "digits"]
    runs = [dataclasses.replace(finished_run, path=path) for path in paths]
    assert run_names(runs) == ["a/digits", "b/digits"]
    assert run_names([runs[0], runs[0]]) == ["digits (1)", "digits (2)"]
