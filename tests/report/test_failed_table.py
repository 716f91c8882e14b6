"""`mpsearch pareto --failed`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sqlite3

import pytest
from rich.console import Console

from mpsearch.report.failed_table import failed_table
from mpsearch.report.json_report import json_report
from mpsearch.report.run_overview import run_overview

NAN = "TrialError: the loss became NaN at step {}"
KILLED = "TrialError: The worker process was ended by SIGKILL (the system's memory was exhausted)."


def shown(view, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


def failing(run, failures):
    """The run with its last trials failed for these reasons."""
    kept = len(run.records) - len(failures)
    failed = [
        dataclasses.replace(record, state="failed", score=None, loss=None, failure=failure, seconds=75.0)
        for record, failure in zip(run.records[kept:], failures, strict=True)
    ]
    return dataclasses.replace(run, records=(*run.records[:kept], *failed))


@pytest.fixture
def broken_run(finished_run):
    return failing(finished_run, [NAN.format(3), KILLED, NAN.format(17)])


def test_reasons_are_counted_whatever_their_numbers_and_the_most_frequent_comes_first(broken_run):
    lines = shown(failed_table(broken_run)).splitlines()
    assert lines[0] == "3 of 30 trials failed, for 2 reasons"
    assert lines[1].startswith("2 ×  TrialError: the loss became NaN at step 3")
    assert lines[2].startswith("1 ×  TrialError: The worker process was ended by SIGKILL")


def test_each_failed_trial_is_a_row_with_its_precision_time_and_reason(broken_run):
    rows = [line.split(maxsplit=4) for line in shown(failed_table(broken_run)).splitlines()]
    table = rows[rows.index(["trial", "precision", "took", "reason"]) + 1 :]
    assert [row[0] for row in table if row[0].isdigit()] == ["27", "28", "29"]
    assert table[0][2:4] == ["1m", "15s"]
    assert "at step 17" in table[-1][-1]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_long_reasons_wrap_within_any_width(broken_run, width):
    text = shown(failed_table(broken_run), width)
    assert max(map(len, text.splitlines())) <= width
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert text.count("exhausted).") == 2


def test_a_run_without_failures_says_so_when_asked(finished_run):
    whole = dataclasses.replace(finished_run, records=finished_run.records[:29])
    assert "No trial has failed." in shown(run_overview(whole, failed=True))
    assert "failed" not in shown(run_overview(whole))


@pytest.fixture
def killed_run(finished_run, tmp_path):
    """A study in which trials 29 and 30 have begun; 29 is in trials.jsonl already."""
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("CREATE TABLE trials (trial_id INTEGER, state TEXT)")
        connection.execute("CREATE TABLE trial_user_attributes (trial_id INTEGER, key TEXT, value_json TEXT)")
        for number, state in ((28, "COMPLETE"), (29, "RUNNING"), (30, "RUNNING")):
            begun = json.dumps({"number": number, "origin": "sampler"})
            connection.execute("INSERT INTO trials VALUES (?, ?)", (number, state))
            connection.execute("INSERT INTO trial_user_attributes VALUES (?, 'begun', ?)", (number, begun))
    return dataclasses.replace(finished_run, path=tmp_path)


def test_a_trial_that_was_killed_with_its_search_is_told_with_what_becomes_of_it(killed_run, monkeypatch):
    text = " ".join(shown(failed_table(killed_run)).split())
    assert "Trial 30 was running when the search was ended." in text
    assert "runs it to the end" in text
    monkeypatch.setattr("mpsearch.report.failed_table.is_searching", lambda path: True)
    assert "Trial 30 runs at this moment." in shown(failed_table(killed_run))


def test_the_json_report_has_reasons_times_and_open_trials(killed_run, broken_run):
    report = json_report(broken_run)
    assert [trial["number"] for trial in report["failed"]] == [27, 28, 29]
    assert report["failed"][1]["reason"] == KILLED
    assert report["failed"][1]["seconds"] == 75.0
    assert report["open"] == []
    assert json_report(killed_run)["open"] == [30]
