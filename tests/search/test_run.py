import json
import shutil
import stat
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mpsearch.errors import BudgetError, ConfigError, ExportError, FormatError, RunError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.engine import run_search
from mpsearch.search.objective import OBJECTIVES, minimised, objectives_named
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.run import load_run


@pytest.fixture
def run(space, tmp_path, profile, training):
    return run_search(space, out=tmp_path / "run", profile=profile, budgets={"memory": "1000B"})


def test_a_run_is_opened_as_it_was_left(run):
    again = load_run(run.path)
    assert again.records == run.records
    assert again.space == run.space
    assert again.baseline == run.baseline
    assert again.model == run.model
    assert again.profile.to_dict() == run.profile.to_dict()
    assert again.hypervolume == run.hypervolume


def test_trials_are_a_table_with_every_objective(run):
    table = run.trials
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 12
    assert {o.field for o in OBJECTIVES.values()} < set(table.columns)
    assert (table["energy_j"] > 0).all()  # not an objective here, and known all the same
    assert all(isinstance(policy, PrecisionPolicy) for policy in table["policy"])
    assert set(table.loc[table["on_front"], "number"]) == set(run.front.numbers)


def test_the_front_is_in_order_of_latency(run):
    latencies = [point.costs.latency_s for point in run.front]
    assert latencies == sorted(latencies)
    assert run.front[0].number == run.front.numbers[0]
    assert run.front.numbers[0] in run.front
    assert len(run.front.to_dataframe()) == len(run.front)
    assert run.front._repr_html_() is None  # what shows it lies above; `mpsearch.load_run` hands it in


def test_the_knee_meets_the_budgets_where_a_point_does(run):
    assert run.front.knee().costs.memory_bytes <= 1000
    loose = run.with_budgets(Budgets())
    assert loose.front.knee().number in loose.front
    hopeless = run.with_budgets(Budgets(accuracy=1.0, memory_bytes=1))
    assert hopeless.front.knee().number in hopeless.front


def test_the_best_is_the_most_accurate_trial_under_the_budgets(run):
    feasible = [r for r in run.records if r.memory_bytes <= 1000]
    assert run.front.best().accuracy == max(r.score for r in feasible)
    assert run.front.best({"memory": "100KB"}).accuracy == max(r.score for r in run.records)
    with pytest.raises(BudgetError, match="No finished trial meets latency <= 1 ns"):
        run.front.best({"latency": "1ns"})


def test_feasibility_follows_the_budgets(run):
    assert {r.feasible for r in run.records} == {True, False}
    assert all(r.feasible for r in run.with_budgets(Budgets()).records)


def test_the_hypervolume_is_a_share_of_the_box(run):
    assert 0 < run.hypervolume < 1
    assert run.reference_point["accuracy"] == 0
    for name in ("latency", "memory"):
        greatest = max(getattr(r, OBJECTIVES[name].field) for r in run.records)
        assert run.reference_point[name] == pytest.approx(1.1 * greatest)  # all-32 is an anchor


def test_costs_of_any_policy_can_be_asked_for_layer_by_layer(run):
    record = run.records[3]
    report = run.cost_report(record.policy)
    assert report.latency_s == record.latency_s
    assert [layer.name for layer in report.layers] == ["0", "2", "4"]


def test_export_is_handed_in_from_above(run, tmp_path):
    with pytest.raises(ExportError, match=r"mpsearch.load_run"):
        run.export(0, tmp_path)
    called = []

    def exporter(run, record, out, *, format, **options):  # noqa: A002
        called.append((record.number, out, format, options))
        return out

    opened = load_run(run.path, exporter=exporter)
    knee = opened.front.knee()
    knee.export(tmp_path / "m")
    opened.export(knee, tmp_path / "p", format="policy", extra=1)
    opened.export(2, str(tmp_path / "q"))
    assert called == [
        (knee.number, tmp_path / "m", "packed", {}),
        (knee.number, tmp_path / "p", "policy", {"extra": 1}),
        (2, tmp_path / "q", "packed", {}),
    ]


def test_a_trial_that_is_not_there_is_refused(run):
    with pytest.raises(RunError, match="Trial 99 is not in"):
        run.trial(99)
    first = run.records[0]
    again = replace(first, number=41, seed=1, origin="repeat")
    repeated = replace(run, records=pooled([*run.records, again]))
    assert repeated.trial(41).number == first.number
    with pytest.raises(RunError, match="it has 0 to 41"):
        repeated.trial(99)


def test_what_is_no_run_is_refused_and_runs_nearby_are_named(run, tmp_path):
    with pytest.raises(RunError, match=r"must be the folder of a run.*Runs in .*: run"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="must be the folder of a run"):
        load_run(tmp_path / "nothing" / "here")


@pytest.mark.parametrize("name", ["n" * 300, "n/" * 3000, "null\0byte", ""])
def test_a_path_that_cannot_be_one_is_a_run_error(name):
    with pytest.raises(RunError, match="must be the folder of a run"):
        load_run(name)


def test_a_search_that_did_not_come_to_its_first_trial_is_no_run_yet(tmp_path, profile):
    (tmp_path / "young").mkdir()
    profile.save(tmp_path / "young" / "profile.json")
    with pytest.raises(RunError, match="not come to its first trial"):
        load_run(tmp_path / "young")


@pytest.mark.parametrize("name", ["run.json", "profile.json", "space.yaml", "study.db"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_a_typed_error(run, tmp_path, name, share):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: int(share * len(whole))])
    if name == "study.db" and share == 0:
        assert (
            load_run(copy).records == run.records
        )  # an empty file is an empty database: trials.jsonl has them
        return
    with pytest.raises((FormatError, ConfigError)):
        load_run(copy)


@pytest.mark.parametrize("name", ["run.json", "profile.json"])
def test_a_newer_schema_is_refused(run, name):
    path = run.path / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(FormatError, match="99"):
        load_run(run.path)


def edited_trials(run, tmp_path, edit):
    """A copy shared without its database, each line of its trials edited."""
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy, ignore=shutil.ignore_patterns("study.db*"))
    lines = [json.loads(line) for line in (copy / "trials.jsonl").read_text().splitlines()]
    (copy / "trials.jsonl").write_text("".join(json.dumps(edit(line)) + "\n" for line in lines))
    return copy


def test_trials_of_a_newer_schema_are_refused_and_not_passed_over(run, tmp_path):
    copy = edited_trials(run, tmp_path, lambda trial: {**trial, "schema": 99})
    with pytest.raises(FormatError, match=r"trials.jsonl: .*got schema 99"):
        load_run(copy)


def test_trials_of_another_model_are_refused_with_the_layers_in_which_they_differ(run, tmp_path):
    def renamed(trial):
        _first, *others = trial["policy"]
        return {**trial, "policy": {"stem": "w8a8", **{other: trial["policy"][other] for other in others}}}

    with pytest.raises(FormatError, match=r"trial 0 differs in .*stem"):
        load_run(edited_trials(run, tmp_path, renamed))


def test_a_read_only_run_can_be_opened(run):
    for path in [*run.path.iterdir(), run.path]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert load_run(run.path).records == run.records
    finally:
        run.path.chmod(0o755)


def test_a_finished_run_leaves_one_plain_database_file(run):
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "front.csv",
        "lock",
        "log.txt",
        "profile.json",
        "run.json",
        "sensitivity.json",
        "space.yaml",
        "study.db",
        "trials.jsonl",
    ]


def test_the_front_of_a_run_without_trials_is_empty(run):
    empty = load_run(run.path)
    object.__setattr__(empty, "records", ())
    assert len(empty.front) == 0
    assert empty.hypervolume == 0
    with pytest.raises(RunError, match="needs a complete trial"):
        empty.front.knee()


@pytest.mark.parametrize("names", [["speed"], ["accuracy", "accuracy"], ["accuracy", "loss"], []])
def test_objectives_that_make_no_search_are_refused(names):
    with pytest.raises(ConfigError):
        objectives_named(names)


def test_all_objectives_together_have_a_hypervolume(run):
    names = [name for name in OBJECTIVES if name not in {"loss", "compressed_size"}]
    every = replace(run.space, objectives=objectives_named(names))
    assert 0 < replace(run, space=every).hypervolume < run.hypervolume


def test_minimising_turns_accuracy_around():
    objectives = objectives_named(["accuracy", "latency"])
    points = np.array([[0.9, 1.0], [0.8, 2.0]])
    assert non_dominated(minimised(points, objectives)).tolist() == [True, False]


def test_a_space_that_is_cut_anywhere_is_refused(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    whole = (copy / "space.yaml").read_text()
    for length in range(0, len(whole.rstrip()), 7):  # some of these are valid spaces, with other settings
        (copy / "space.yaml").write_text(whole[:length])
        with pytest.raises((FormatError, ConfigError)):
            load_run(copy)
