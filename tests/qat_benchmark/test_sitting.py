"""Runs are really trained, kept, and not made again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from qat_figures import figures
from qat_journal import Journal
from qat_run import Run, Workload, uniform
from qat_sitting import sit, stale

TASK = """
import torch
from torch import nn
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.task import task_from

def task():
    drawn = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 6, generator=drawn)
    pairs = inputs, (inputs[:, 0] > 0).long()
    parts = [tuple(part[start : start + 32] for part in pairs) for start in (0, 32, 64)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    return task_from(model, parts, name="halves", baseline=BaselineRecipe(epochs=2, batch_size=16))
"""
SETTINGS = {"steps": 3, "high_bit_steps": 3, "batch_size": 16}


@pytest.fixture
def runs(tmp_path):
    """Three policies of a tiny task."""
    file = tmp_path / "halves.py"
    file.write_text(TASK)
    workload = Workload(name="halves", task=f"{file}:task")
    one = Run(workload=workload, rule=uniform("w8a8"), settings=SETTINGS)
    return [replace(one, rule=uniform(scheme)) for scheme in ("w8a8", "w1.58a8", "w1a8")]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "runs.jsonl")


def seated(runs, journal, **changed):
    sit(runs, journal, **{"hours": 1.0, "threads": torch.get_num_threads(), "batch": 1, **changed})


@pytest.mark.parametrize("batch", [1, 2])
def test_each_run_is_made_once_and_kept_with_all_that_it_found(runs, journal, batch):
    seated(runs, journal, batch=batch)
    made = journal.finished()
    assert set(made) == {run.key for run in runs}
    for record in made.values():
        assert record["steps"] == 3
        assert 0 <= record["score"] <= 1
        assert 0 <= record["test"] <= 1
        assert record["seconds_training"] + record["seconds_beside"] == pytest.approx(record["seconds"])
    lines = journal.path.read_text()
    seated(runs, journal, batch=batch)
    assert journal.path.read_text() == lines


def test_a_later_sitting_starts_from_the_same_32_bit_weights(runs, journal):
    seated(runs[:1], journal)
    (kept,) = (journal.folder / "baselines").iterdir()
    was = kept.read_bytes()
    seated(runs, journal)
    assert list((journal.folder / "baselines").iterdir()) == [kept]
    assert kept.read_bytes() == was
    first, *later = journal.records()
    assert all(record["baseline"] == first["baseline"] for record in later)


def test_no_run_is_begun_that_would_end_too_late(runs, journal):
    seated(runs, journal, hours=0.0)
    assert journal.finished() == {}


def test_runs_of_one_seed_are_alike_to_the_bit(runs, journal):
    once = runs[1]
    seated([once], journal)
    again = Journal(journal.path.with_name("again.jsonl"))
    seated([once], again)
    assert journal.finished()[once.key]["weights"] == again.finished()[once.key]["weights"]


def test_settings_that_train_otherwise_than_they_did_are_named(runs, journal):
    seated(runs, journal)
    assert stale(runs, journal) == []
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    lines[1]["first_losses"][0] *= 1.1
    journal.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (named,) = stale(runs, journal)
    assert "w1.58a8" in named


def test_a_figure_is_drawn_of_what_is_there_the_same_each_time():
    line = {
        "table": "t",
        "label": "all w8a8; 3 steps",
        "lost": 1.0,
        "spread": None,
        "most_steps": 3,
        "measure": "loss",
    }
    found = {"ranking": [], "bars": [line]}
    drawn = figures(found)
    assert set(drawn) == {"qat-bars.svg"}
    assert drawn == figures(found)
