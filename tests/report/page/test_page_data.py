"""What the page shows, before anything is laid out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.page.breakdown import Breakdown
from mpsearch.report.page.headline import headline
from mpsearch.report.page.notes import honest_notes
from mpsearch.report.page.page_data import PageData
from mpsearch.report.page.sensitivity import Sensitivity
from mpsearch.report.page.settings import commands, setting_groups
from mpsearch.report.page.trial_columns import TrialColumns, rounded
from mpsearch.search.history import run_history


def sentence(run):
    return "".join(headline(run, run_history(run)).sentence)


def test_the_columns_hold_every_complete_trial_once(finished_run):
    columns = TrialColumns.of(finished_run, finished_run.layers)
    complete = [record for record in finished_run.records if record.is_complete]
    assert columns.numbers == tuple(record.number for record in complete)
    for name, objective in finished_run.quantities.items():
        assert columns.values[name] == pytest.approx(
            [getattr(r, objective.field) for r in complete], rel=1e-5
        )
    assert all(len(letters) == 5 for letters in columns.strips)
    assert columns.strips[0] == "xxxxx"
    assert {n for n, kept in zip(columns.numbers, columns.front, strict=True) if kept} == set(
        finished_run.front.numbers
    )
    for accuracy, low, high in zip(columns.values["accuracy"], columns.low, columns.high, strict=True):
        assert low <= accuracy <= high
        assert high - low > 0.01  # 360 samples tell no more


def test_names_are_those_of_the_landmarks(finished_run):
    columns = TrialColumns.of(finished_run, finished_run.layers)
    labels = dict(zip(columns.numbers, columns.labels, strict=True))
    assert "knee" in labels[finished_run.front.knee().number]
    assert "best under budget" in labels[finished_run.front.best().number]
    assert labels[list(SCHEMES).index("w32a32")] == "32-bit"


def test_numbers_that_json_cannot_say_are_null():
    assert rounded(float("nan")) is None
    assert rounded(None) is None
    assert rounded(1.23456789e-5) == 1.23457e-5


def test_the_data_are_json_without_nan(finished_run):
    text = json.dumps(PageData.of(finished_run).to_json(), allow_nan=False)
    assert json.loads(text)["metric"] == finished_run.metric


def test_the_sentence_says_what_the_knee_keeps_and_gains(finished_run):
    knee, base = finished_run.front.knee(), finished_run.baseline.costs
    text = sentence(finished_run)
    assert f"{100 * knee.accuracy:.1f}% ± " in text
    assert f"{base.latency_s / knee.costs.latency_s:.2f}× faster" in text
    assert "smaller than 32 bits." in text


def test_a_knee_slower_than_the_baseline_is_not_called_faster(finished_run):
    fast = replace(finished_run.baseline, costs=replace(finished_run.baseline.costs, latency_s=1e-9))
    assert "slower" in sentence(replace(finished_run, baseline=fast))
    assert "faster" not in sentence(replace(finished_run, baseline=fast))


def test_a_run_without_a_trial_says_so(finished_run):
    assert "No trial has finished" in sentence(replace(finished_run, records=()))


def test_budgets_that_nothing_meets_are_said_at_the_top(deep_run, tmp_path):
    space = deep_run.__globals__["SPACE"] + "budgets: {latency: 1ns}\n"
    run = deep_run(tmp_path, space=space)
    assert "None of them within what was asked for: latency ≤ 1 ns." in headline(run, run_history(run)).detail


def test_layers_and_the_rest_add_up_to_the_latency(finished_run):
    breakdown = Breakdown.of(finished_run, finished_run.layers)
    assert set(finished_run.front.numbers) <= set(breakdown.numbers)
    for number, parts, rest in zip(breakdown.numbers, breakdown.parts, breakdown.rest, strict=True):
        assert sum(parts) + rest == pytest.approx(finished_run.trial(number).latency_s, rel=1e-4)


def test_the_breakdown_begins_with_the_knee_32_bits_and_the_ends_of_the_front(finished_run):
    chosen = Breakdown.of(finished_run, finished_run.layers).chosen
    front = finished_run.front.records
    expected = {
        finished_run.front.knee().number,
        list(SCHEMES).index("w32a32"),
        min(front, key=lambda r: r.latency_s).number,
        min(front, key=lambda r: r.memory_bytes).number,
    }
    assert expected <= set(chosen)
    latencies = [finished_run.trial(number).latency_s for number in chosen]
    assert latencies == sorted(latencies, reverse=True)


def test_sensitivity_names_each_layer_and_scheme(finished_run):
    layers = finished_run.layers
    rows = Sensitivity.of(finished_run).to_json(layers)["rows"]
    assert {row["choice"] for row in rows} == set(layers)
    assert all(row["low"] <= row["change"] <= row["high"] for row in rows)


def test_too_few_trials_give_a_reason_in_place_of_sensitivity(finished_run):
    found = Sensitivity.of(replace(finished_run, records=finished_run.records[:3]))
    assert found.to_json(finished_run.layers) is None
    assert "complete trials" in found.missing


def test_the_run_is_made_again_from_its_own_files(finished_run, tmp_path):
    spaced = replace(finished_run, path=tmp_path / "a run")
    again = commands(spaced)[0].line
    assert again.startswith("mpsearch search '")
    for part in ("a run/space.yaml'", "--hw '", "a run/profile.json'", "a run-again'"):
        assert part in again


def test_settings_say_machine_recipe_and_samples(finished_run):
    groups = {group.title: dict(group.pairs) for group in setting_groups(finished_run)}
    assert groups["Machine"]["processor"] == "Test processor (x86_64)"
    assert groups["Model"]["fingerprint"] == finished_run.model.fingerprint
    assert groups["Data"]["validation samples"] == str(finished_run.validation_samples)
    assert groups["Search"]["seed"] == "0"
    assert groups["Fine-tune of a trial"]["steps"] == str(finished_run.space.trial.steps)


def test_notes_say_whether_anything_was_tested_or_measured(finished_run, with_measured):
    untested = " ".join(honest_notes(finished_run))
    assert "Nothing here was scored on a test split" in untested
    assert "No policy of this run has been measured" in untested
    tested = replace(with_measured(finished_run), test_scores={0: 0.9}, test_samples=100)
    assert "scored once, for the front" in " ".join(honest_notes(tested))
    assert "were also measured end to end" in " ".join(honest_notes(tested))
