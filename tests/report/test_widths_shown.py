"""A run whose model has several widths: each view says which a trial has."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from mpsearch.report.csv_report import csv_report
from mpsearch.report.json_report import json_report
from mpsearch.report.landmarks import landmarks
from mpsearch.report.page.headline import headline
from mpsearch.report.page.notes import honest_notes
from mpsearch.report.page.settings import setting_groups
from mpsearch.report.page.trial_columns import TrialColumns
from mpsearch.report.pareto_table import pareto_table
from mpsearch.report.policy_view import policy_view
from mpsearch.report.precision_strip import mark_cells, precision_strip
from mpsearch.report.run_heading import run_heading
from mpsearch.report.space_view import settings_view
from mpsearch.report.trial_selection import TrialSelection
from mpsearch.search.history import run_history
from mpsearch.search.run_facts import WidthFacts
from mpsearch.search.widths import Widths


def shown(view, width=150):
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    return console.file.getvalue()


@pytest.fixture
def wide_run(finished_run):
    """Trials of width 1 and 2 in turn; the wider model costs the same here, and scores 97% at 32 bits."""
    run = finished_run
    records = tuple(replace(r, policy=r.policy.at_width(1 + r.number % 2)) for r in run.records)
    other = WidthFacts(baseline=replace(run.baseline, score=0.97), model=run.model)
    space = replace(run.space, widths=Widths.of([1, 2]))
    return replace(run, space=space, records=records, other_widths={2: other})


def test_tables_have_a_column_of_widths(wide_run, finished_run):
    table = shown(pareto_table(wide_run, TrialSelection(is_of_all=True)))
    assert "width" in table.splitlines()[0]
    rows = {int(line.split()[1]): line.split() for line in table.splitlines() if line.startswith(("●", "★"))}
    assert rows
    assert all(row[2] == str(1 + number % 2) for number, row in rows.items())
    assert "width" not in shown(pareto_table(finished_run, TrialSelection(is_of_all=True)))


def test_a_spreadsheet_has_the_widths(wide_run, finished_run):
    rows = list(csv.DictReader(io.StringIO(csv_report(wide_run))))
    assert rows
    assert all(row["width"] == str(1 + int(row["number"]) % 2) for row in rows)
    assert "width" not in csv_report(finished_run).splitlines()[0].split(",")


def test_the_page_notes_layers_that_were_interpolated_at_any_width(wide_run, monkeypatch):
    of = {1: SimpleNamespace(interpolated_layers=()), 2: SimpleNamespace(interpolated_layers=("conv1",))}
    monkeypatch.setattr(type(wide_run), "cost_model_at", lambda _, width: of[width])
    assert any(note.startswith("Latencies of conv1 were interpolated") for note in honest_notes(wide_run))


def test_trials_can_be_sorted_by_width(wide_run):
    chosen = TrialSelection(sort="width", is_of_all=True).of(wide_run, wide_run.records)
    widths = [record.policy.width for record in chosen]
    assert widths == sorted(widths)


def test_the_heading_has_each_baseline_and_says_which_is_compared_with(wide_run, finished_run):
    text = shown(run_heading(wide_run))
    one, two = (line for line in text.splitlines() if line.startswith("32-bit, "))
    assert one.startswith("32-bit, 1x")
    assert "98.50%" in one
    assert "compared with" in one
    assert two.startswith("32-bit, 2x")
    assert "97.00%" in two
    assert "compared with" not in two
    assert "32-bit, " not in shown(run_heading(finished_run))


def test_a_policy_says_its_width_and_what_32_bits_score_there(wide_run):
    text = " ".join(shown(policy_view(wide_run, wide_run.records[7])).split())
    assert "width 2, where 32 bits score 97.00%" in text
    assert "compared with 32 bits at width 1" in text


def test_uniform_policies_of_several_widths_are_told_apart(wide_run):
    labels = [landmark.label for landmark in landmarks(wide_run).values() if landmark.kind == "uniform"]
    assert any(label.endswith(" 2x") for label in labels)
    assert len(set(labels)) == len(labels)


def test_a_strip_begins_with_the_width_and_strips_stand_below_each_other(finished_run):
    policy = finished_run.records[0].policy
    plain = precision_strip(policy).plain
    marked = [precision_strip(policy.at_width(width)).plain for width in (0.5, 2)]
    assert marked == [f" 0.5x {plain}", f"   2x {plain}"]
    assert mark_cells(policy.at_width(2)) + len(plain) == len(marked[0])
    assert mark_cells(policy) == 0


def test_other_programs_are_told_of_widths_too(wide_run, finished_run):
    told = json_report(wide_run)
    assert [(w["width"], w["is_reference"], w["accuracy"]) for w in told["widths"]] == [
        (1, True, 0.985),
        (2, False, 0.97),
    ]
    assert all(trial["width"] == 1 + trial["number"] % 2 for trial in told["trials"] + told["failed"])
    plain = json_report(finished_run)
    assert plain["widths"] == []
    assert {trial["width"] for trial in plain["trials"]} == {None}


def test_the_page_says_which_width_the_knee_has_and_what_it_is_compared_with(wide_run):
    found = headline(wide_run, run_history(wide_run))
    knee = wide_run.front.knee().record
    assert f"The knee, of width {knee.policy.width}, keeps " in found.sentence[0]
    assert found.sentence[-1] == " than 32 bits at width 1."
    pairs = {name: value for group in setting_groups(wide_run) for name, value in group.pairs}
    assert pairs["32-bit at width 2"].startswith("97.00% on validation")
    assert pairs["widths"] == "1, 2 of the task's 'width'"
    assert len(TrialColumns.of(wide_run, wide_run.layers).strips[0]) == len(wide_run.layers)


def test_the_settings_of_a_space_name_its_widths(wide_run, tmp_path):
    assert "1, 2 of the task's 'width'" in shown(settings_view(wide_run.space, tmp_path))
