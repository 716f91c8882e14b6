"""Following a folder that a search writes to, tears and removes."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import pytest

from mpsearch.report.inspector.run_watch import RunWatch, begun_trials
from mpsearch.search.budgets import Budgets
from mpsearch.search.measured import measured_line
from mpsearch.search.overrides import Overrides
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder, record_line


@pytest.fixture
def whole(make_inspected_run, tmp_path):
    return make_inspected_run(tmp_path / "live", trials=12, failures=1, layers=5)


@pytest.fixture
def watched(whole, write_run):
    """A run of which eight trials are written, and a watch that has looked once."""
    first = write_run(replace(whole, records=whole.records[:8], measured={}))
    watch = RunWatch(load_run(first.path))
    assert watch.look().run is None
    return watch


def folder(run):
    return RunFolder(run.path)


def append(run, text):
    with folder(run).trials_file.open("a", encoding="utf-8") as file:
        file.write(text)


def test_nothing_new_costs_no_reading(watched, monkeypatch):
    monkeypatch.setattr("mpsearch.report.inspector.run_watch.load_run", None)
    for _ in range(3):
        assert watched.look().run is None


def test_trials_that_are_added_are_read_without_reading_the_run_again(watched, whole, monkeypatch):
    monkeypatch.setattr("mpsearch.report.inspector.run_watch.load_run", None)
    append(whole, record_line(whole.records[8]) + "\n" + record_line(whole.records[9]) + "\n")
    assert [record.number for record in watched.look().run.records] == list(range(10))
    append(whole, record_line(whole.records[10]) + "\n")
    assert watched.look().run.records[10].policy == whole.records[10].policy


def test_a_half_written_line_waits_for_its_other_half(watched, whole):
    line = record_line(whole.records[8]) + "\n"
    append(whole, line[:50])
    assert len(watched.look().run.records) == 8
    append(whole, line[50:])
    assert len(watched.look().run.records) == 9


def test_a_torn_line_in_the_middle_is_passed_over(watched, whole):
    append(whole, '{"schema": 3, "numb\n' + record_line(whole.records[9]) + "\n")
    assert [record.number for record in watched.look().run.records][-1] == 9


def test_added_trials_are_judged_by_the_budgets_in_force(whole, write_run):
    bound = sorted(record.latency_s for record in whole.records)[3]
    space = replace(whole.space, budgets=Budgets(latency_s=bound))
    write_run(replace(whole, space=space, records=whole.records[:8]))
    watch = RunWatch(load_run(whole.path))
    watch.look()
    append(whole, record_line(replace(whole.records[8], feasible=True)) + "\n")
    added = watch.look().run.records[8]
    assert added.feasible == (added.latency_s <= bound)


def test_added_trials_are_judged_by_the_overrides_in_force(whole, write_run):
    pinned = replace(whole.space, overrides=Overrides.parse(forbid=["*=w1a1"]))
    first = write_run(replace(whole, space=pinned, records=whole.records[:3]))
    watch = RunWatch(load_run(first.path))
    append(whole, "".join(record_line(record) + "\n" for record in whole.records[3:]))
    grown = watch.look().run
    assert [r.feasible for r in grown.records] == [pinned.admits(r) for r in whole.records]
    assert {r.feasible for r in grown.records[3:] if r.is_complete} == {True, False}


def test_test_scores_measured_latencies_and_budgets_are_seen_when_they_come(
    watched, whole, write_run, measured_latency
):
    scored = replace(whole, records=whole.records[:8], test_scores={3: 0.5}, measured={})
    write_run(scored)
    assert watched.look().run.test_scores == {3: 0.5}
    folder(whole).measured_file.write_text(measured_line(measured_latency(3, 1e-4)) + "\n")
    assert watched.look().run.measured[3].latency_s == 1e-4
    space = replace(whole.space, budgets=Budgets(memory_bytes=1e4))
    folder(whole).space_file.write_text(space.to_yaml())
    assert watched.look().run.budgets == Budgets(memory_bytes=1e4)


def test_a_folder_that_goes_is_told_and_one_that_comes_back_is_read(watched, whole):
    away = whole.path.with_name("away")
    shutil.move(whole.path, away)
    gone = watched.look()
    assert gone.run is None
    assert gone.problem.endswith("is gone")
    shutil.move(away, whole.path)
    back = watched.look()
    assert back.problem is None
    assert len(back.run.records) == 8


def test_a_broken_file_is_a_problem_until_it_is_whole(watched, whole):
    facts = folder(whole).facts_file
    text = facts.read_text()
    facts.write_text(text[: len(text) // 2])
    assert "run.json" in watched.look().problem
    assert "run.json" in watched.look().problem
    facts.write_text(text)
    assert watched.look().problem is None


def test_begun_trials_are_those_without_a_record(tmp_path):
    database = tmp_path / "study.db"
    assert begun_trials(database) == 0
    connection = sqlite3.connect(database)
    connection.executescript("""
        CREATE TABLE trials (trial_id INTEGER, state TEXT);
        CREATE TABLE trial_user_attributes (trial_id INTEGER, key TEXT, value_json TEXT);
        INSERT INTO trials VALUES (1, 'COMPLETE'), (2, 'RUNNING'), (3, 'RUNNING'), (4, 'RUNNING');
        INSERT INTO trial_user_attributes VALUES (2, 'begun', ''), (3, 'record', ''), (1, 'record', '');
    """)
    connection.close()
    assert begun_trials(database) == 2
    database.write_bytes(b"not a database at all, but long enough to look like a file of one" * 20)
    assert begun_trials(database) == 0
