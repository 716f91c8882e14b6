"""`mpsearch pareto`: rows, columns and states, at any width."""

from __future__ import annotations

import dataclasses
import io
import json
import math

import pytest
from rich.console import Console

from mpsearch.errors import ConfigError
from mpsearch.report.csv_report import csv_report
from mpsearch.report.fitted_table import Column, FittedTable
from mpsearch.report.interval_bar import IntervalBars
from mpsearch.report.json_report import json_report
from mpsearch.report.pareto_table import pareto_table, table_rows
from mpsearch.report.run_overview import run_overview
from mpsearch.report.trial_selection import SORT_NAMES, TrialSelection
from mpsearch.report.units import interval_text
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.trial_filter import TrialFilter


def shown(view, width: int, **options) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(view)
    return console.file.getvalue()


def measured(run, number):
    median_s = 1.1 * run.trial(number).latency_s
    return MeasuredLatency(
        number=number, latency_s=median_s, quartiles_s=(0.9 * median_s, 1.2 * median_s), p95_s=2 * median_s,
        p99_s=3 * median_s, torch_fp32_latency_s=1e-3, torch_fp32_quartiles_s=(1e-3, 1e-3), repetitions=400,
        threads=1, machine="Test processor", isa="avx2", is_compiled=True, agreement=1.0,
        created="2026-01-02T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def rich_run(finished_run):
    """With test scores of its front and a measured latency of its knee."""
    knee = finished_run.front.knee().number
    return dataclasses.replace(
        finished_run,
        test_scores=dict.fromkeys(finished_run.front.numbers, 0.4242),
        measured={knee: measured(finished_run, knee)},
    )


@pytest.mark.parametrize("width", range(40, 251, 15))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_whole_overview_fits_any_width(rich_run, width, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    Console(file=stream, width=width).print(run_overview(rich_run))
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert encoding == "utf-8" or not set(text) & set("|│━┃") - {"|"}


def test_a_score_stands_beside_its_interval_and_the_samples_it_rests_on(rich_run):
    knee = rich_run.front.knee().record
    text = shown(run_overview(rich_run), 160)
    assert interval_text(rich_run.interval(knee)) in text
    assert "95% interval from 449 validation samples; test: 450 others" in text
    assert "seed 0" in text


def test_a_measured_latency_stands_beside_the_predicted_one_with_its_quartiles_and_conditions(rich_run):
    text = shown(run_overview(rich_run), 180)
    row = next(line for line in text.splitlines() if line.startswith("★"))
    knee = rich_run.front.knee().record
    for value in (1, 1.1):
        assert f"{1e6 * value * knee.latency_s:.1f}" in row
    assert f"{1e6 * 0.99 * knee.latency_s:.1f}–{1e6 * 1.32 * knee.latency_s:.1f}" in row
    assert "400 passes, 1 thread (Test processor, avx2)" in text


def test_what_does_not_fit_is_named(rich_run):
    assert "not shown at 60 columns: " in shown(pareto_table(rich_run), 60)
    assert "smaller" in shown(pareto_table(rich_run), 60).splitlines()[-1]
    assert "not shown" not in shown(pareto_table(rich_run), 200)


def test_the_baseline_is_told_even_where_no_trial_is_at_32_bits(finished_run):
    without = dataclasses.replace(finished_run, records=finished_run.records[:5])
    text = shown(run_overview(without), 120)
    assert "32-bit   98.50% (96.9–99.3)" in text
    assert any("32-bit" in line and ("◆" in line or "▸" in line) for line in text.splitlines())


def select(run, text=None, **options):
    parsed = None if text is None else TrialFilter.parse(text, run.layers)
    return TrialSelection(filter=parsed, **options)


def test_rows_are_the_front_and_below_it_the_uniform_policies_that_it_beats(finished_run):
    chosen, others = table_rows(finished_run, TrialSelection())
    assert chosen == finished_run.front.records
    assert all(record.policy.uniform_scheme for record in others)
    assert not {record.number for record in others} & set(finished_run.front.numbers)


def test_a_filter_keeps_rows_of_both(finished_run):
    wanted = select(finished_run, "uniform")
    chosen, others = table_rows(finished_run, wanted)
    assert {r.number for r in (*chosen, *others)} == set(range(6))


@pytest.mark.parametrize("name", SORT_NAMES)
def test_sorting_puts_the_best_first_and_the_unknown_last(rich_run, name):
    rows, others = table_rows(rich_run, select(rich_run, sort=name, is_of_all=True))
    assert not others
    assert len(rows) == 29
    if name == "test":
        assert {r.number for r in rows[: len(rich_run.front)]} == set(rich_run.front.numbers)
    elif name == "measured":
        assert rows[0].number in rich_run.measured
    elif name == "accuracy":
        assert rows[0].accuracy == max(record.accuracy for record in rows)
    elif name == "memory":
        assert rows[0].memory_bytes == min(record.memory_bytes for record in rows)


def test_top_takes_the_first_of_what_is_sorted(finished_run):
    rows, _ = table_rows(finished_run, select(finished_run, sort="memory", top=3))
    assert [r.memory_bytes for r in rows] == sorted(r.memory_bytes for r in finished_run.front.records)[:3]


@pytest.mark.parametrize("options", [{"sort": "speed"}, {"top": 0}])
def test_an_odd_order_or_number_of_rows_is_refused(options):
    with pytest.raises(ConfigError):
        TrialSelection(**options)


def test_what_was_asked_for_is_said_under_the_table(finished_run):
    wanted = select(finished_run, "accuracy>80%", sort="memory", top=2)
    text = shown(run_overview(finished_run, selection=wanted), 120)
    assert (
        f"2 of {len(finished_run.front)} on the front: where accuracy>80%, sorted by memory, the first 2"
        in text
    )
    assert "does not meet the filter" in text


def test_a_filter_that_nothing_on_the_front_meets_points_to_the_others(finished_run):
    elsewhere = select(finished_run, "not front and not uniform")
    text = shown(run_overview(finished_run, selection=elsewhere), 120)
    assert "No trial on the front meets" in text
    assert "--all" in text
    nowhere = select(finished_run, "latency<1ns")
    assert "No trial meets latency<1ns." in shown(run_overview(finished_run, selection=nowhere), 120)


def test_a_run_of_failures_shows_their_reasons_at_once(finished_run):
    failed = dataclasses.replace(finished_run, records=finished_run.records[-1:])
    text = shown(run_overview(failed), 100)
    assert "all of them failed" in text
    assert "the loss became NaN at step 3" in text


def test_a_run_that_is_searched_at_this_moment_says_so(finished_run, monkeypatch):
    monkeypatch.setattr("mpsearch.report.run_heading.is_searching", lambda path: True)
    assert "29 of 40 trials" not in shown(run_overview(finished_run), 100)
    assert "30 of 40 trials, 14 on the front  searching now" in shown(run_overview(finished_run), 100)


def test_the_json_report_gives_intervals_measurements_and_what_was_selected(rich_run):
    report = json.loads(json.dumps(json_report(rich_run), allow_nan=False))
    knee = next(trial for trial in report["trials"] if trial["number"] == report["knee"])
    record = rich_run.trial(report["knee"])
    assert knee["interval"] == list(rich_run.interval(record))
    assert knee["test_interval"] == list(rich_run.test_interval(record.number))
    assert knee["measured"]["latency_s"] == pytest.approx(1.1 * record.latency_s)
    assert (report["validation_samples"], report["test_samples"], report["metric"]) == (449, 450, "accuracy")
    assert report["selection"] == {"filter": None, "sort": None, "top": None}
    assert report["profile"]["machine"] == "Test processor"
    other = next(trial for trial in report["trials"] if not trial["on_front"])
    assert (other["measured"], other["test_interval"]) == (None, None)


def test_json_and_csv_obey_the_selection(finished_run):
    wanted = select(finished_run, "accuracy>85%", sort="latency", top=4)
    report = json_report(finished_run, wanted)
    numbers = [trial["number"] for trial in report["trials"]]
    assert len(numbers) == 4
    assert report["selection"] == {"filter": "accuracy>85%", "sort": "latency", "top": 4}
    rows = csv_report(finished_run, wanted).splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == numbers
    assert len(report["failed"]) == 1


def test_intervals_of_one_metric_outside_of_0_to_1_are_left_empty(finished_run):
    odd = dataclasses.replace(
        finished_run, records=(dataclasses.replace(finished_run.records[0], score=3.5),)
    )
    assert json_report(odd)["trials"][0]["interval"] is None
    assert "–" in shown(pareto_table(odd), 120)


def test_interval_bars_share_one_scale():
    bars = IntervalBars.fitting([(0.0, 0.5), (0.5, 1.0)], 11)
    assert bars.text(0.2, (0.0, 0.5)).plain == "──●───     "
    assert bars.text(0.8, (0.5, 1.0)).plain == "     ───●──"
    assert bars.text(math.nan, (math.nan, math.nan)).plain == " " * 11


def test_an_interval_has_the_decimals_that_tell_its_ends_apart():
    assert interval_text((0.962, 0.989)) == "96.2–98.9"
    assert interval_text((0.90012, 0.90345)) == "90.01–90.34"


def test_a_table_leaves_out_its_least_important_column_first():
    columns = [
        Column(title="kept", cells=["1"]),
        Column(title="second", cells=["2"], importance=2),
        Column(title="first", cells=["3"], importance=1),
    ]
    table = FittedTable(columns=columns, rows=1)
    assert "first" in shown(table, 40)
    assert "first" not in shown(table, 14)
    assert "second" in shown(table, 14)
    assert "second" not in shown(table, 8)


def test_the_loss_keeps_its_title_where_columns_are_narrow(finished_run):
    baseline = dataclasses.replace(finished_run.baseline, constant_loss=2.3)
    run = dataclasses.replace(finished_run, baseline=baseline).with_objectives(["loss", "memory"])
    header = shown(pareto_table(run), 40).splitlines()[0]
    assert "loss" in header.split()
