"""The study in a file: every step in one commit, and nothing between two for a kill to part."""

import signal
import sqlite3
from dataclasses import replace

import optuna
import pytest
from sqlalchemy import pool

from mpsearch.errors import FormatError, StorageError
from mpsearch.search.journal import Journal
from mpsearch.search.resolve import resolve
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.study import STUDY_NAME, StudyStore
from mpsearch.search.trial_record import Rung

RUNG = Rung(share=0.1, score=0.5, loss=0.1, seconds=1.0, steps=3, ended="2026-01-01T00:00:01.000+00:00")


@pytest.fixture
def open_store(tmp_path, space, resolved):
    """Opens the study of the folder; all are closed in the end."""
    stores = []

    def build():
        stores.append(StudyStore(tmp_path / "study.db", resolved, space.objectives))
        return stores[-1]

    yield build
    for store in stores:
        store.close()


def rows(path, query):
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_optuna_reads_what_the_store_writes(open_store, begun, record_of, tmp_path, resolved):
    store = open_store()
    policies = [begun(number).policy for number in range(4)]
    store.begin(begun(0, attributes={"generation": 2}), {"memory": -0.5})
    store.finish(record_of(begun(0)))
    store.begin(begun(1), {})
    store.finish(record_of(begun(1), None, loss=None, state="failed", failure="why"))
    store.begin(begun(2), {})
    store.keep_rung(2, RUNG)
    store.finish(record_of(begun(2), None, loss=None, state="stopped", rungs=(RUNG,)))
    store.refuse(policies[3], {"memory": 0.25}, {})
    store.begin(begun(4), {})
    store.close()
    study = optuna.load_study(study_name=STUDY_NAME, storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "PRUNED", "PRUNED", "RUNNING"]
    assert [trial.number for trial in study.trials] == list(range(5))
    first, refused = study.trials[0], study.trials[3]
    assert first.values == [0.75, 1e-3, 10]
    names = [choice.name for choice in resolved.choices]
    assert first.params == dict(zip(names, resolved.codes(policies[0]).tolist(), strict=True))
    assert first.constraints == {"memory": -0.5}
    assert first.system_attrs["generation"] == 2
    assert first.datetime_complete >= first.datetime_start
    assert refused.constraints == {"memory": 0.25}
    assert [trial.number for trial in study.best_trials] == [0]
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


def test_a_trial_is_begun_and_ended_in_one_commit_each(open_store, begun, record_of, tmp_path):
    store = open_store()
    version = "PRAGMA data_version"  # grows with each commit of another connection
    watch = sqlite3.connect(tmp_path / "study.db")
    seen = [watch.execute(version).fetchone()]
    for step in (
        lambda: store.begin(begun(0), {"memory": 0.0}),
        lambda: store.keep_rung(0, RUNG),
        lambda: store.finish(record_of(begun(0))),
    ):
        step()
        seen.append(watch.execute(version).fetchone())
    watch.close()
    assert seen == [(seen[0][0] + step,) for step in range(4)]


def test_a_trial_that_was_running_goes_on_in_its_row_with_its_rungs(open_store, begun, record_of, tmp_path):
    store = open_store()
    trial = begun(0, attributes={"generation": 3})
    store.begin(trial, {})
    store.keep_rung(0, RUNG)
    again = open_store()
    assert again.recover({}) == [replace(trial, rungs=(RUNG,))]
    assert open_store().recover({}) == [replace(trial, rungs=(RUNG,))]  # killed before it was begun again
    again.begin(replace(trial, rungs=(RUNG,)), {})
    again.finish(record_of(trial, rungs=(RUNG,)))
    assert rows(tmp_path / "study.db", "SELECT state FROM trials") == [("COMPLETE",)]
    assert open_store().recover({}) == []


def test_a_lost_trial_that_nobody_wants_runs_no_longer(open_store, begun, tmp_path):
    open_store().begin(begun(0), {})
    store = open_store()
    store.recover({})
    store.abandon(0)
    assert rows(tmp_path / "study.db", "SELECT state FROM trials") == [("FAIL",)]
    assert open_store().recover({}) == []


def test_what_only_the_text_file_has_goes_into_the_study(open_store, begun, record_of):
    store = open_store()
    store.begin(begun(0), {})  # killed after trials.jsonl and before the study
    written = {number: record_of(begun(number)) for number in (0, 1)}  # a power cut took 1 from the study
    again = open_store()
    assert again.recover(written) == []
    assert [stored.record for stored in again.history()] == [written[0], written[1]]
    assert again.recover(written) == []
    assert len(again.history()) == 2


def test_a_finished_trial_is_in_the_text_file_before_the_study(
    open_store, begun, record_of, tmp_path, space, monkeypatch
):
    store = open_store()
    folder = RunFolder(tmp_path / "run")
    folder.create()
    journal = Journal(folder, store, space, {"accuracy": 0.0, "latency": 1.0, "memory": 1e6})
    store.begin(begun(0), {})
    weights = folder.checkpoints / ".0.part.safetensors"
    weights.write_bytes(b"w")

    def full_disk(_record):
        raise StorageError("The disk is full.")

    monkeypatch.setattr(store, "finish", full_disk)
    with pytest.raises(StorageError):
        journal.add(record_of(begun(0)), weights)
    assert folder.written_records() == {0: record_of(begun(0))}
    assert open_store().recover(folder.written_records()) == []
    assert folder.checkpoint(0).read_bytes() == b"w"


def test_a_rung_is_kept_once_however_often_it_is_written(open_store, begun):
    store = open_store()
    store.begin(begun(0), {})
    store.keep_rung(0, RUNG)
    store.keep_rung(0, RUNG)
    store.keep_rung(0, replace(RUNG, share=0.3))
    assert [rung.share for rung in open_store().recover({})[0].rungs] == [0.1, 0.3]


def test_a_study_of_another_space_is_refused(open_store, begun, space_of, trace, tmp_path):
    open_store().begin(begun(0), {})
    other = space_of(layers='[{match: "0", schemes: [w1a1, w8a8]}, {match: "*", pin: w8a8}]')
    store = StudyStore(tmp_path / "study.db", resolve(other, trace), other.objectives)
    with pytest.raises(FormatError, match="Search in another folder"):
        store.recover({})
    store.close()


def test_a_folder_with_odd_signs_in_its_name_holds_a_study(tmp_path, resolved, space, begun):
    folder = tmp_path / "100% {new}? #1"
    folder.mkdir()
    with StudyStore(folder / "study.db", resolved, space.objectives) as store:
        store.begin(begun(0), {})
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_an_interrupt_amid_a_commit_leaves_no_journal_behind(tmp_path, resolved, space, begun, monkeypatch):
    connect = pool.base._ConnectionRecord.__init__

    def connect_and_be_interrupted(*args, **kwargs):
        connect(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)

    def interrupted():
        with StudyStore(tmp_path / "s.db", resolved, space.objectives) as store:
            monkeypatch.setattr(pool.base._ConnectionRecord, "__init__", connect_and_be_interrupted)
            store.begin(begun(0), {})

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]
