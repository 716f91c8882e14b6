"""From trainings in the work folder to a table; and the engine on a table instead of trainings."""

from __future__ import annotations

import json

import numpy as np
import pytest
import search_tables
from search_engine_replay import TableWork, engine_trials, machine_profile, space_of
from search_policy_table import read_table, table_of
from search_tables import make_tables, write_table
from search_workloads import WORKLOADS

from mpsearch.errors import ConfigError, DataError
from mpsearch.search.trial_job import TrialJob

NAME = "digits-cnn"


def test_a_table_is_what_was_trained(tmp_path):
    rows = []
    for place, codes in enumerate(np.ndindex(4, 4, 4, 4, 4)):
        shared = {"codes": list(codes), "score_ptq": 0.25, "score": place / 1024, "seconds": 2.0}
        rows += [shared | {"seed": seed, "kind": "full"} for seed in range(2)]
        rows += [shared | {"seed": 0, "kind": "short", "score": 0.5, "seconds": 0.5}]
        rows += [shared | {"seed": 0, "kind": "ptq", "seconds": 0.125}]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / f"{NAME}.jsonl").write_text("\n".join(lines) + '\n{"codes": [0, 0')
    (tmp_path / f"{NAME}.seconds.json").write_text('{"besides_s": 0.125, "step_s": 0.02}')
    write_table(NAME, tmp_path, tmp_path)
    table = read_table(tmp_path / f"{NAME}.parquet")
    assert table.choices == tuple(WORKLOADS[NAME].choices)
    assert table.schemes == tuple(offered for _, offered in WORKLOADS[NAME].choices.values())
    assert table.mean_scores == pytest.approx(np.arange(1024) / 1024, abs=1e-6)
    found = {name: (table.lower[name][0], table.lower_seconds[name][0]) for name in ("ptq", "short")}
    assert found == {"ptq": (0.25, 0.125), "short": (0.5, pytest.approx(0.125 + 23 * 0.02))}
    assert table.seconds[0] == pytest.approx(0.125 + 92 * 0.02)  # five of its six layers are below four bits
    assert table.seconds[-1] == pytest.approx(0.125 + 20 * 0.02)  # none is


def test_seconds_are_fitted_to_trainings_of_different_lengths(tmp_path, monkeypatch):
    clock = [0.0]

    def trained(_task, _baseline, policies, recipe, *, share, **_seed):
        clock[0] += sum(0.5 + 0.03 * recipe.steps_for(policy, share) for policy in policies)

    monkeypatch.setattr(search_tables, "trained_baseline", lambda _task: None)
    monkeypatch.setattr(search_tables, "run_trials", trained)
    monkeypatch.setattr(search_tables.time, "process_time", lambda: clock[0])
    search_tables.measure_seconds(NAME, tmp_path)
    found = json.loads((tmp_path / f"{NAME}.seconds.json").read_text())
    assert found == {"besides_s": pytest.approx(0.5), "step_s": pytest.approx(0.03)}


def test_a_table_that_is_not_ours_cannot_be_made():
    with pytest.raises(ConfigError, match=r"must be one of digits-mlp, .*; got 'digits'"):
        make_tables(["digits"], None)


def test_a_looked_up_trial_has_the_shown_score_and_a_repeat_that_of_another_seed(path, tmp_path):
    table = read_table(path)
    shown = table.scores[:, 1].copy()
    shown[np.isnan(shown)] = table.scores[np.isnan(shown), 0]
    work = TableWork(table=table, row_of=lambda policy: policy, shown=shown)

    def run(row, **fields):
        return work.run(TrialJob(number=0, policy=row, weights=tmp_path / "weights", **fields))

    first, again, repeat = run(5), run(5), run(5, seed=9)
    assert first.score == again.score == shown[5]
    assert repeat.score == table.scores[5, 0]
    assert (first.seconds, first.loss) == (2.0, 1 - shown[5])
    short, calibrated = run(5, share=0.25), run(5, share=0.0)
    assert (short.score, short.seconds) == (table.lower["short"][5], 0.5)
    assert (calibrated.score, calibrated.seconds) == (table.lower["ptq"][5], 0.25)
    assert run(13, seed=3).score == run(13, seed=4).score == table.scores[13, 0]  # it has one seed


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_space_of_a_table_offers_its_schemes_and_ties_its_layers(name):
    workload = WORKLOADS[name]
    space = space_of(name, workload, ("accuracy", "latency"))
    offered = {rule.match: rule for rule in space.layers}
    for choice, (layers, schemes) in workload.choices.items():
        for layer in layers:
            assert tuple(map(str, offered[layer].schemes)) == schemes
            assert offered[layer].group == (choice if len(layers) > 1 else None)
    assert {layer for layer, rule in offered.items() if rule.is_pinned} == set(workload.pinned)


def test_fidelities_need_their_seconds_and_a_model(frame, tmp_path):
    with pytest.raises(ConfigError, match="with a table's model"):
        machine_profile("small", tmp_path / "none.json")
    table = table_of(frame.drop(columns="seconds_ptq"), NAME)
    with pytest.raises(DataError, match=r"has none at share 0. `--make digits-cnn` adds them"):
        engine_trials(
            table,
            None,
            shown=table.mean_scores,
            sampler="random",
            seed=0,
            trials=1,
            objectives=("accuracy",),
            fidelities=(0.0, 1.0),
            repeats=True,
            sensitivity=tmp_path,
        )
