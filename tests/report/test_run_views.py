"""The views of a run: what they must say at any width, not how they look to the letter."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph, Node
from mpsearch.report.csv_report import csv_report
from mpsearch.report.front_plot import front_plot
from mpsearch.report.json_report import json_report
from mpsearch.report.page.settings import commands
from mpsearch.report.policy_view import policy_view
from mpsearch.report.run_heading import run_heading
from mpsearch.report.run_overview import next_step, run_overview
from mpsearch.search.budgets import Budgets
from mpsearch.search.overrides import Overrides


def shown(view, width: int, **options) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(view)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_overview_fits_and_shows_the_whole_front(finished_run, width):
    text = shown(run_overview(finished_run), width)
    assert max(map(len, text.splitlines())) <= width
    rows = [line for line in text.splitlines() if line.startswith(("●", "★", "◉"))]
    assert len(rows) >= len(finished_run.front)
    for word in ("accuracy", "latency", "memory", "µs", "KB", "hypervolume", "test-machine", "budget"):
        assert word in text


def test_the_overview_in_a_pipe_has_no_control_codes(finished_run):
    assert "\x1b" not in shown(run_overview(finished_run), 80)


def test_colour_is_only_added_on_a_terminal_and_says_nothing_new(finished_run):
    plain = shown(run_overview(finished_run), 100)
    coloured = shown(
        run_overview(finished_run), 100, height=60, force_terminal=True, color_system="truecolor"
    )
    assert "\x1b" in coloured
    from rich.text import Text

    assert Text.from_ansi(coloured).plain.rstrip() == plain.rstrip()


def test_what_keeps_a_model_in_torch_is_said_and_a_compiled_one_too(finished_run):
    assert "model " not in shown(run_heading(finished_run), 300)
    x = Node(name="x", kind="input", inputs=(), size=(1, 1, 4))
    graph = ModelGraph(nodes=(x,), output="x", input_rank=2, output_rank=2)
    compiled = dataclasses.replace(finished_run.model, graph=graph)
    assert "runs compiled" in shown(run_heading(dataclasses.replace(finished_run, model=compiled)), 300)
    reasons = tuple(f"aten.op{number} in blocks.0" for number in range(6))
    eager = dataclasses.replace(finished_run.model, eager_reasons=reasons)
    text = shown(run_heading(dataclasses.replace(finished_run, model=eager)), 300)
    assert "runs in torch" in text
    assert "aten.op3 in blocks.0; and 2 more" in text


def test_failed_trials_are_counted_and_explained_when_asked_for(finished_run):
    assert "1 of 30 trials failed" in shown(run_overview(finished_run), 120)
    assert "the loss became NaN at step 3" in shown(run_overview(finished_run, failed=True), 120)


def test_a_run_without_trials_says_so(finished_run):
    empty = dataclasses.replace(finished_run, records=())
    assert "No trial has finished yet" in shown(run_overview(empty), 80)


def test_budgets_that_nothing_meets_are_said(finished_run):
    strict = finished_run.with_budgets(Budgets(accuracy=0.9999))
    assert "No trial meets the budgets" in shown(run_overview(strict), 80)


def test_overrides_are_told_and_trials_against_them_compete_for_nothing(finished_run):
    overrides = Overrides.parse(forbid=["*=w32a32"])
    space = dataclasses.replace(finished_run.space, overrides=overrides)
    run = dataclasses.replace(finished_run, space=space).with_budgets(Budgets())
    text = shown(run_overview(run), 200)
    assert "without w32a32" in text
    fitting = sum(record.feasible for record in run.records)
    assert f"{fitting} of 29 trials fit" in text
    row = next(line for line in text.splitlines() if "32-bit, not allowed" in line)
    assert "FF" in row
    assert "· not allowed" in text
    assert "filter" not in text  # none was asked for


@pytest.mark.parametrize("x", ["accuracy", "latency", "latency_p95", "latency_p99", "memory", "energy"])
@pytest.mark.parametrize("y", ["accuracy", "latency", "memory"])
def test_the_plot_can_show_any_two_objectives(finished_run, x, y):
    if x == y:
        with pytest.raises(ConfigError, match="two different axes"):
            front_plot(finished_run, x=x, y=y)
        return
    lines = shown(front_plot(finished_run, x=x, y=y), 80).splitlines()
    assert y.split("_")[0] in lines[0]
    assert any(x.split("_")[0] in line and line.endswith("→") for line in lines)


def test_an_unknown_axis_is_refused(finished_run):
    with pytest.raises(ConfigError, match="accuracy, latency, latency_p95, latency_p99, memory, energy"):
        front_plot(finished_run, x="speed")


def test_the_next_step_can_be_typed(finished_run):
    assert next_step(finished_run).plain.startswith(f"next  mpsearch export {finished_run.path} --pick knee")


def test_the_next_step_names_a_run_that_is_the_current_folder(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = dataclasses.replace(finished_run, path=Path())
    assert next_step(here).plain.endswith(f"--out {tmp_path.name}-knee")
    assert commands(here)[0].line.endswith(f"--out ../{tmp_path.name}-again")


def test_test_scores_have_a_column_once_known(finished_run):
    scores = dict.fromkeys(finished_run.front.numbers, 0.4242)
    assert "42.42" in shown(run_overview(dataclasses.replace(finished_run, test_scores=scores)), 120)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_policy_is_shown_layer_by_layer_with_a_total(finished_run, width):
    record = finished_run.front.knee().record
    text = shown(policy_view(finished_run, record), width)
    assert max(map(len, text.splitlines())) <= width
    for layer in record.policy:
        assert layer in text
    for word in ("total", "outside of layers", "BatchNorm2d", "every layer timed"):
        assert word in text


def test_the_json_report_keeps_its_contract_key_by_key(finished_run):
    report = json.loads(json.dumps(json_report(finished_run), allow_nan=False))
    assert report["schema"] == 1
    assert [o["name"] for o in report["objectives"]] == ["accuracy", "latency", "memory"]
    assert report["objectives"][0]["direction"] == "maximize"
    assert {o["unit"] for o in report["objectives"]} == {"1", "s", "B"}
    assert set(report["reference_point"]) == {"accuracy", "latency", "memory"}
    assert 0 < report["hypervolume"] < 1
    assert {"accuracy", "latency_s", "memory_bytes", "energy_j"} <= set(report["baseline"])
    assert report["knee"] == finished_run.front.knee().number
    assert len(report["trials"]) == 29
    assert [trial["number"] for trial in report["failed"]] == [29]
    for trial in report["trials"]:
        record = finished_run.trial(trial["number"])
        assert trial["policy"] == record.policy.names()
        assert (trial["accuracy"], trial["latency_s"]) == (record.accuracy, record.latency_s)
        assert type(trial["memory_bytes"]) is int
        assert trial["energy_j"] == record.energy_j
        assert (trial["feasible"], trial["on_front"]) == (
            record.feasible,
            record.number in finished_run.front,
        )
        assert trial["seconds"] == 4.5


def test_the_csv_report_has_a_row_a_trial_and_a_column_a_layer(finished_run):
    rows = list(csv.DictReader(io.StringIO(csv_report(finished_run))))
    assert len(rows) == 29
    assert rows[3]["layer.block.conv2"] == "w4a8"
    assert float(rows[3]["latency_s"]) == finished_run.records[3].latency_s
