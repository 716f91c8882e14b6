import io
import json

import pytest
from rich.console import Console

from mpsearch.report.bench_run_table import bench_run_json, bench_run_view, measured_line
from mpsearch.search.measured import MeasuredLatency


def measured(run, number, factor=1.0, **changes):
    latency_s = factor * run.trial(number).latency_s
    values = {
        "number": number,
        "latency_s": latency_s,
        "quartiles_s": (0.98 * latency_s, 1.02 * latency_s),
        "p95_s": 1.2 * latency_s,
        "p99_s": 1.3 * latency_s,
        "torch_fp32_latency_s": 10 * latency_s,
        "torch_fp32_quartiles_s": (9 * latency_s, 11 * latency_s),
        "repetitions": 480,
        "threads": 1,
        "machine": "Test processor",
        "isa": "avx2",
        "is_compiled": True,
        "agreement": 1.0,
        "created": "2026-01-01T00:00:00+00:00",
    }
    return MeasuredLatency(**{**values, **changes})


def shown(view, width=120, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(view)
    return console.file.getvalue()


def front_of(run, **changes):
    return [measured(run, number, 1.05, **changes) for number in run.front.numbers]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_trial_has_a_row_that_fits(finished_run, width):
    found = front_of(finished_run)
    text = shown(bench_run_view(finished_run, found, is_kept=True), width)
    assert max(map(len, text.splitlines())) <= width
    rows = [line for line in text.splitlines() if "+5.0" in line and "median" not in line]
    assert len(rows) == len(found)
    assert "measured.jsonl" in text.replace("\n", "").replace(" ", "")


def test_what_is_worth_knowing_of_a_trial_stands_beside_it(finished_run):
    records = finished_run.records
    found = [
        measured(finished_run, 0, agreement=None),
        measured(finished_run, 1, is_compiled=False),
        measured(finished_run, 2, quartiles_s=(0.8 * records[2].latency_s, 1.2 * records[2].latency_s)),
    ]
    text = shown(bench_run_view(finished_run, found, is_kept=False), 200)
    row = {line.split()[0]: line for line in text.splitlines() if line.strip()[:1].isdigit()}
    assert "random weights" in row["0"]
    assert "in torch" in row["1"]
    assert "noisy" in row["2"]
    assert "random where a trial's were not kept" in text
    assert "measured.jsonl" not in text


def test_the_summary_says_how_far_off_and_in_which_order(finished_run):
    factors = (1.02, 0.97, 1.3)
    found = [measured(finished_run, n, factor) for n, factor in enumerate(factors)]
    text = shown(bench_run_view(finished_run, found, is_kept=True))
    assert "median 3.0%, worst +30.0% (trial 2); 2 of 3 within 15%" in text
    assert "of all pairs come in the predicted order (Kendall's tau" in text
    one = shown(bench_run_view(finished_run, found[:1], is_kept=True))
    assert "+2.0% against the prediction" in one
    assert "pairs" not in one


def test_a_kept_promise_is_green_a_broken_one_yellow_and_none_dim(finished_run):
    def colour(*, factor, **changes):
        line = measured_line(finished_run, measured(finished_run, 0, factor, **changes))
        return line.spans[-1].style

    assert colour(factor=1.1) == "green"
    assert colour(factor=1.2) == "yellow"
    assert colour(factor=1.1, threads=2) == "dim"


def test_another_machine_or_thread_count_is_said(finished_run):
    assert "judge the profile" not in shown(
        bench_run_view(finished_run, front_of(finished_run), is_kept=True), 300
    )
    text = shown(bench_run_view(finished_run, front_of(finished_run, threads=2), is_kept=True), 300)
    assert "predictions are for Test processor, avx2, 1 thread; this was measured on Test processor" in text


def test_a_line_tells_one_trial(finished_run):
    text = measured_line(finished_run, measured(finished_run, 3, 1.05)).plain
    assert text.startswith("trial 3 ")
    assert "predicted" in text
    assert text.endswith("+5.0%")


def test_the_json_keeps_its_contract(finished_run):
    found = front_of(finished_run, agreement=None)
    report = json.loads(json.dumps(bench_run_json(finished_run, found, is_kept=True), allow_nan=False))
    assert report["schema"] == 1
    assert report["kept"] is True
    assert report["profile"] == {"name": "test-machine", "threads": 1, "machine": "Test processor"}
    assert [trial["number"] for trial in report["trials"]] == list(finished_run.front.numbers)
    first = report["trials"][0]
    assert first["prediction_error"] == pytest.approx(0.05)
    assert first["latency_s"] == pytest.approx(1.05 * first["predicted_latency_s"])
    assert first["policy"] == finished_run.trial(first["number"]).policy.names()
    assert (first["agreement"], first["is_promised"]) == (None, True)
    assert report["summary"]["median_error"] == pytest.approx(0.05)
