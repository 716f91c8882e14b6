"""Objectives in any number: searched for, changed on a run that is there, refused where nobody knows them."""

import json
import math
from dataclasses import replace

import pytest

from mpsearch.errors import BudgetError, ConfigError, FormatError, RunError, TaskError
from mpsearch.search.budgets import Budgets
from mpsearch.search.engine import run_search
from mpsearch.search.objective import OBJECTIVES, objective_named
from mpsearch.search.run import load_run
from mpsearch.search.space_file import parse_space


@pytest.fixture
def search(space, tmp_path, profile, training):
    """`run_search` on the tiny space with training faked; keyword arguments replace the defaults."""

    def call(**changes):
        arguments = {"space": space, "out": tmp_path / "run", "profile": profile, "trials": 8, **changes}
        return run_search(**arguments)

    return call


@pytest.mark.parametrize(
    ("objectives", "budgets"),
    [
        (["accuracy"], {"memory": "1200B", "latency": "1ms"}),
        (["loss"], {}),
        (["latency"], {"accuracy": 0.5}),
        (["latency_p99"], {"loss": 0.5}),
        (["compressed_size", "energy"], {"accuracy": 0.3}),
        (["loss", "compressed_size", "latency_p95"], {"memory": "3KB"}),
        (["accuracy", "latency", "latency_p95", "latency_p99", "memory", "energy"], {}),
    ],
)
def test_any_subset_of_objectives_is_searched_for_and_written_down(search, objectives, budgets):
    run = search(objectives=objectives, budgets=budgets)
    assert len(run.records) == 8
    assert [o.name for o in load_run(run.path).objectives] == objectives
    assert 0 < run.hypervolume <= 1
    kept = {int(path.stem) for path in (run.path / "checkpoints").iterdir()}
    assert kept == set(run.front.numbers)
    assert json.loads((run.path / "run.json").read_text())["baseline"]["compressed"]


def test_objectives_of_a_run_change_and_its_trials_stay(search, training):
    before = search()
    trained = len(training.trained)
    after = search(objectives=["accuracy"], budgets={"memory": "1KB"}, trials=8)
    assert [r.policy for r in after.records] == [r.policy for r in before.records]
    assert [o.name for o in after.objectives] == ["accuracy"]
    within = [r for r in after.records if r.memory_bytes <= 1000]
    assert {r.score for r in after.front.records} == {max(r.score for r in within)}
    missing = set(after.front.numbers) - set(before.front.numbers)
    assert len(training.trained) == trained + len(missing)  # for their weights alone
    assert all((after.path / "checkpoints" / f"{n}.safetensors").exists() for n in after.front.numbers)
    longer = search(objectives=["loss", "latency"], trials=10)
    assert len(longer.records) == 10
    assert longer.reference_point["loss"] == longer.baseline.constant_loss > 0
    again = search(objectives=["accuracy", "latency", "memory"], trials=10)
    assert [r.policy for r in again.records] == [r.policy for r in longer.records]


def test_objectives_that_the_task_cannot_tell_leave_the_study_as_it_was(search, monkeypatch):
    def fail(*_):
        raise TaskError("no loss")

    before = search()
    study = (before.path / "study.db").read_bytes()
    monkeypatch.setattr("mpsearch.search.prepared_search.with_constant_loss", fail)
    with pytest.raises(TaskError):
        search(objectives=["loss", "latency"])
    assert (before.path / "study.db").read_bytes() == study


def without_weights(run):
    return [n for n in run.front.numbers if not (run.path / "checkpoints" / f"{n}.safetensors").exists()]


def test_a_front_that_a_budget_decided_has_all_its_weights_once_the_budget_is_lifted(search):
    before = search(objectives=["accuracy"], budgets={"memory": "1KB"})
    after = search(objectives=["accuracy"], budgets={})
    assert set(after.front.numbers) - set(before.front.numbers)
    assert not without_weights(after)


def test_weights_that_a_cut_off_search_was_to_find_for_its_new_objectives_are_found_by_the_next(
    search, monkeypatch
):
    def cut(self):
        raise KeyboardInterrupt

    search(objectives=["accuracy"])
    with monkeypatch.context() as patch:
        patch.setattr("mpsearch.search.local_runner.InProcessRunner.wait", cut)
        with pytest.raises(KeyboardInterrupt):
            search(objectives=["accuracy", "energy"])
    assert without_weights(search(objectives=["accuracy", "energy"])) == []


def test_a_run_goes_on_with_the_objectives_that_it_has(search, tmp_path):
    search(objectives=["accuracy", "energy"])
    events = []
    stored = load_run(tmp_path / "run").space
    run = search(space=stored, trials=9, on_event=events.append)
    assert [o.name for o in run.objectives] == ["accuracy", "energy"]
    assert not any("objectives are now" in getattr(event, "message", "") for event in events)


def test_objectives_without_accuracy_or_loss_need_a_budget_on_one(search, tmp_path):
    with pytest.raises(ConfigError, match=r"must hold accuracy or loss.*got \['latency'\] alone"):
        search(objectives=["latency"])
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="not both"):
        search(objectives=["accuracy", "loss"])


def test_a_run_that_knows_no_compressed_size_refuses_it_and_goes_on_without(search):
    run = search()
    facts = json.loads((run.path / "run.json").read_text())
    del facts["baseline"]["compressed"], facts["greatest_costs"]["compressed_bytes"]
    (run.path / "run.json").write_text(json.dumps(facts))
    assert "compressed_size" not in load_run(run.path).quantities
    with pytest.raises(RunError, match="begun by an older mpsearch"):
        search(objectives=["accuracy", "compressed_size"])
    with pytest.raises(RunError, match="begun by an older mpsearch"):
        search(budgets={"compressed_size": "1KB"})
    assert len(search(trials=9).records) == 9


def test_the_compressed_size_is_the_memory_less_what_compression_saves(search):
    run = search()
    weights = run.baseline.compressed_weights
    for record in run.records:
        assert 0 < record.compressed_bytes <= record.memory_bytes
        assert run.costs(record.policy).compressed_bytes == record.compressed_bytes
    full = next(r for r in run.records if r.policy.is_full_precision)
    saved = sum(
        4 * layer.weight_count - weights[layer.name][full.policy[layer.name]] for layer in run.model.layers
    )
    assert full.compressed_bytes == full.memory_bytes - saved
    assert run.baseline.costs == full.costs


def test_a_compressed_size_that_nothing_reaches_is_refused_with_the_least(search):
    with pytest.raises(BudgetError, match="smallest reachable compressed_size is"):
        search(budgets={"compressed_size": "10B"})


def test_a_front_of_other_objectives_can_be_asked_for(search):
    run = search()
    assert run.with_objectives(["energy"]).with_budgets(Budgets(accuracy=0.5)).front.records
    with pytest.raises(ConfigError, match="every trial tells"):
        replace(run, baseline=replace(run.baseline, compressed=None)).with_objectives(["compressed_size"])
    with pytest.raises(FormatError, match="loss of a constant answer"):
        _ = run.with_objectives(["loss"]).hypervolume


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bounds_are_read_and_written_alike(name):
    text = {"1": "92.5%", "": "0.25", "s": "312us", "B": "41.2KB", "J": "5uJ"}[OBJECTIVES[name].unit]
    budgets = Budgets.parse({name: text})
    assert Budgets.parse(budgets.texts()) == budgets
    assert Budgets.of(budgets.bounds()) == budgets
    assert objective_named(name).format(budgets.bounds()[name]) in str(budgets)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "a lot", "", True, None, [1]])
def test_a_loss_is_a_positive_number(text):
    with pytest.raises(ConfigError, match="A loss must be a number above 0"):
        OBJECTIVES["loss"].parse(text)


def test_what_a_failed_trial_has_no_loss_of_is_no_number(begun, record_of):
    failed = record_of(begun(1), score=None, loss=None, state="failed", failure="out of memory")
    assert math.isnan(OBJECTIVES["loss"].of(failed))
    assert math.isnan(OBJECTIVES["compressed_size"].of(failed))


def test_a_space_may_name_one_objective_and_budgets():
    text = """
task: {name: digits}
layers: [{match: "*", schemes: [w1a1, w8a8]}]
objectives: [latency]
budgets: {accuracy: 98%, compressed_size: 40KB, loss: 0.3}
"""
    space = parse_space(text)
    assert space.budgets.bounds() == {"accuracy": 0.98, "loss": 0.3, "compressed_size": 40_000.0}
    assert parse_space(space.to_yaml()) == space
