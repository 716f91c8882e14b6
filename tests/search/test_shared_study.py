"""Several drivers on one study, in a real PostgreSQL server."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from mpsearch.errors import ConfigError, RunError, StorageError
from mpsearch.search import heartbeats, shared_study
from mpsearch.search.engine import run_search
from mpsearch.search.interrupts import uninterrupted
from mpsearch.search.run import load_run
from mpsearch.search.search_target import search_target
from mpsearch.search.shared_study import SharedStudy
from mpsearch.search.study import LostTrial
from mpsearch.search.study_address import StudyAddress
from mpsearch.search.study_facts import read_facts
from mpsearch.search.trial_record import Rung

DRIVER = Path(__file__).with_name("shared_driver.py")
RUNG = Rung(share=0.1, score=0.5, loss=0.1, seconds=1.0, steps=3, ended="2026-01-01T00:00:01.000+00:00")
PATIENCE_S = 90


def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server():
    server = load("postgres_server").PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def study_name(request):
    return request.node.name


@pytest.fixture
def notices():
    return []


@pytest.fixture
def join(server, study_name, resolved, space, notices, monkeypatch):
    """A function: another driver of this test's study, as it is after `recover`."""
    monkeypatch.setattr(heartbeats, "HEARTBEAT_S", 0.05)
    drivers = []

    def build(name="a", written=()):
        driver = SharedStudy(
            StudyAddress.parse(server.url),
            study_name,
            driver=f"host:{name}",
            identity=name,
            resolved=resolved,
            objectives=space.objectives,
            emit=lambda event: notices.append(event.message),
        )
        drivers.append(driver)
        driver.lost = driver.recover({record.number: record for record in written})
        return driver

    yield build
    for driver in drivers:
        driver.close()


@pytest.fixture
def record_of(record_of, begun):
    """By number, and who ran it."""

    def build(number, driver="host:a", **changes):
        return record_of(begun(number), driver=driver, **changes)

    return build


def begin(driver, trial):
    with driver.turn() as news:
        assert driver.begin(trial, {})
    return news


def news_of(driver):
    with driver.turn() as news:
        return news


def asleep(driver):
    """It has renewed no heartbeat for an hour, and does not know."""
    driver._heart.stop()
    make_heartbeats_old(driver)


def make_heartbeats_old(driver):
    with driver._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour' WHERE trial_id = ANY(%s)",
            (list(driver._heart.rows),),
        )


def records_in(driver):
    return [stored.record for stored in driver.recover({}) or driver.history()]


class TestNews:
    def test_a_driver_hears_what_others_begin_keep_and_finish_once(self, join, begun, record_of):
        a, b = join("a"), join("b")
        begin(a, begun(0))
        a.keep_rung(0, RUNG)
        assert news_of(b) == [replace(begun(0), rungs=(RUNG,))]
        assert news_of(b) == []
        a.finish(record_of(0, rungs=(RUNG,)))
        assert news_of(b) == [record_of(0, rungs=(RUNG,))]
        assert news_of(b) == news_of(a) == []

    def test_a_driver_that_joins_hears_what_runs_and_knows_what_has_ended(self, join, begun, record_of):
        a = join("a")
        begin(a, begun(0))
        a.finish(record_of(0))
        begin(a, begun(1))
        with a.turn():
            a.refuse(begun(2).policy, {"memory": 0.5}, {})
        late = join("late")
        assert [stored.record for stored in late.history()] == [record_of(0), None]
        assert news_of(late) == [begun(1)]

    def test_only_one_driver_proposes_at_a_time(self, join, begun):
        a, b = join("a"), join("b")
        heard = []
        with a.turn():
            other = threading.Thread(target=lambda: heard.extend(news_of(b)))
            other.start()
            time.sleep(0.2)
            assert other.is_alive()
            a.begin(begun(0), {})
            other.join(PATIENCE_S)
        assert heard == [begun(0)]

    def test_what_a_turn_refused_is_kept_with_the_trial_or_alone(self, join, begun):
        a = join("a")
        with a.turn():
            a.refuse(begun(1).policy, {"memory": 0.5}, {})
            a.begin(begun(0), {})
        with a.turn():
            a.refuse(begun(2).policy, {"memory": 0.5}, {})
        assert [stored.policy for stored in join("b").history()] == [begun(1).policy, begun(2).policy]


class TestLost:
    def test_a_trial_with_heartbeats_is_not_lost(self, join, begun):
        a, b = join("a"), join("b")
        begin(a, begun(0))
        news_of(b)
        make_heartbeats_old(a)
        deadline = time.monotonic() + PATIENCE_S
        with b._engine.connect() as connection:
            while heartbeats.silent_rows(connection, a._heart.rows):
                assert time.monotonic() < deadline, "the heart does not beat"
                time.sleep(0.01)
        assert news_of(b) == []

    def test_a_trial_of_a_driver_that_is_silent_is_taken_up_in_its_row(self, join, begun, record_of):
        a, b, c = join("a"), join("b"), join("c")
        begin(a, begun(0))
        a.keep_rung(0, RUNG)
        asleep(a)
        lost = replace(begun(0), rungs=(RUNG,))
        assert news_of(b) == news_of(c) == [LostTrial(trial=lost)]
        begin(b, lost)
        with c.turn() as news:
            assert news == [lost]  # b runs it now
        b.finish(record_of(0, "host:b"))
        assert news_of(c) == [record_of(0, "host:b")]

    def test_a_driver_that_wakes_keeps_its_trial(self, join, begun):
        a, b = join("a"), join("b")
        begin(a, begun(0))
        asleep(a)
        with b.turn() as news:
            assert news == [LostTrial(trial=begun(0))]
            with a._engine.begin() as connection:
                heartbeats.beat(connection, list(a._heart.rows))
            assert not b.begin(begun(0), {})
        assert news_of(b) == [begun(0)]

    @pytest.mark.parametrize("first", ["a", "b"])
    def test_a_driver_that_only_slept_does_not_count_its_trial_twice(self, join, begun, record_of, first):
        drivers = {"a": join("a"), "b": join("b")}
        begin(drivers["a"], begun(0))
        asleep(drivers["a"])
        news_of(drivers["b"])
        begin(drivers["b"], begun(0))
        counts = record_of(0, f"host:{first}")
        order = sorted(drivers, key=lambda name: name != first)
        assert [drivers[name].finish(record_of(0, f"host:{name}")) for name in order] == [counts, counts]
        assert records_in(join("c")) == [counts]

    def test_a_driver_that_ends_in_order_lets_its_trials_go_at_once(self, join, begun, monkeypatch):
        monkeypatch.setattr(heartbeats, "GRACE_S", 1e6)
        a, b = join("a"), join("b")
        begin(a, begun(0))
        a.close()
        assert news_of(b) == [LostTrial(trial=begun(0))]

    def test_a_driver_that_comes_back_has_its_own_trials_at_once(self, join, begun, monkeypatch):
        monkeypatch.setattr(heartbeats, "GRACE_S", 1e6)
        begin(join("a"), begun(0))
        assert join("a").lost == [begun(0)]
        assert join("b").lost == []

    def test_a_trial_that_nobody_wants_any_more_may_be_begun_anew(self, join, begun):
        a, b = join("a"), join("b")
        begin(a, begun(0))
        asleep(a)
        news_of(b)
        with b.turn():
            b.abandon(0)
        assert begin(join("c"), begun(0)) == []


class TestBrokenConnections:
    def test_a_commit_whose_answer_was_lost_is_not_done_twice(self, join, begun, monkeypatch):
        a = join("a")
        with a.turn():
            commit = a._held.commit

            def commit_unheard():
                commit()
                a._held.invalidate()
                raise OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))

            monkeypatch.setattr(a._held, "commit", commit_unheard)
            assert a.begin(begun(0), {})
        assert news_of(join("b")) == [begun(0)]

    def test_a_driver_that_lost_the_lock_gives_way_to_who_took_it(self, join, begun, server):
        a, b = join("a"), join("b")
        with a.turn() as news:
            assert news == []
            backend = a._held.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with psycopg.connect(server.url, autocommit=True) as connection:  # as a's minute of sleep would
                connection.execute("SELECT pg_terminate_backend(%s)", [backend])
            begin(b, begun(0))
            assert not a.begin(begun(0), {})
        assert news_of(a) == [begun(0)]
        begin(a, begun(1))
        assert news_of(b) == [begun(1)]

    def test_a_server_that_restarts_is_waited_for_and_the_user_told(
        self, join, begun, record_of, server, notices
    ):
        a = join("a")
        begin(a, begun(0))
        server.stop("immediate")
        done = threading.Timer(1.0, server.start)
        done.start()
        assert a.finish(record_of(0)) == record_of(0)
        done.join()
        assert ["server" in notice for notice in notices] == [True, True]
        assert "Trials in flight go on" in notices[0]
        assert notices[1].endswith("answers again.")
        assert records_in(join("b")) == [record_of(0)]

    def test_a_long_outage_ends_the_search_and_what_was_finished_is_taken_in_later(
        self, join, begun, record_of, server, monkeypatch
    ):
        monkeypatch.setattr(shared_study, "OUTAGE_S", 0.5)
        a = join("a")
        begin(a, begun(0))
        server.stop()
        try:
            with pytest.raises(StorageError, match="must answer"):
                a.finish(record_of(0))
        finally:
            server.start()
        assert join("a", written=[record_of(0)]).lost == []  # it was in trials.jsonl
        assert records_in(join("b")) == [record_of(0)]

    @pytest.mark.usefixtures("_children_hear_ctrl_c")
    def test_ctrl_c_ends_the_wait_for_a_server_also_while_a_trial_is_written(
        self, join, begun, record_of, server
    ):
        a = join("a")
        begin(a, begun(0))
        server.stop()
        try:
            pressed = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
            pressed.start()
            with pytest.raises(KeyboardInterrupt), uninterrupted():
                a.finish(record_of(0))
        finally:
            server.start()
        assert join("a", written=[record_of(0)]).lost == []

    def test_what_a_driver_had_finished_counts_also_where_another_runs_it_again(self, join, begun, record_of):
        a, b = join("a"), join("b")
        begin(a, begun(0))
        asleep(a)
        news_of(b)
        begin(b, begun(0))
        join("a", written=[record_of(0)])
        assert b.finish(record_of(0, "host:b")) == record_of(0)
        assert records_in(join("c")) == [record_of(0)]


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("postgresql://me:secret@db.lab:5433/mp", "postgresql://me@db.lab:5433/mp"),
            ("postgres://db/mp?sslmode=require&password=secret", "postgresql://db/mp?sslmode=require"),
            ("postgresql://u%40v:sec%2Fret@[::1]/mp", "postgresql://u%40v@[::1]/mp"),
            ("postgresql://me@/mp?host=/run/pg", "postgresql://me@/mp?host=%2Frun%2Fpg"),
        ],
    )
    def test_an_address_is_shown_and_stored_without_its_password(self, url, shown):
        address = StudyAddress.parse(url)
        assert str(address) == shown
        assert StudyAddress.parse(shown) == address
        assert "sec" not in repr(address)

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("mysql://me@db/mp", "begins with 'mysql'"),
            ("sqlite:///study.db", "leave --storage out"),
            ("study.db", "must be postgresql://"),
            ("postgresql://me@db", "without a DATABASE"),
            ("postgresql://me:p@ss@db/mp", "%40"),
            ("postgresql://me:secret@db:port/mp", "%40"),
        ],
    )
    def test_what_is_no_address_is_refused_with_the_rule(self, url, said):
        with pytest.raises(ConfigError, match=said) as caught:
            StudyAddress.parse(url)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("database", "password", "step"),
        [
            ("studies", "wrong-secret", "PGPASSWORD"),
            ("studies", None, "PGPASSWORD"),
            ("missing", "correct%20horse", "createdb missing"),
        ],
    )
    def test_a_server_that_refuses_says_what_to_do(self, server, database, password, step):
        with pytest.raises(StorageError, match=step) as caught:
            read_facts(StudyAddress.parse(server.url_of(database, password)), "any")
        assert "secret" not in str(caught.value)
        assert "horse" not in str(caught.value)

    def test_a_server_that_is_not_there_says_so(self):
        with pytest.raises(StorageError, match="Check that the server runs"):
            read_facts(StudyAddress.parse("postgresql://me@127.0.0.1:1/mp"), "any")

    def test_the_password_may_come_from_the_environment(self, server, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", "correct horse")
        assert read_facts(StudyAddress.parse(server.url_of("studies", None)), "any") is None


class TestFolders:
    @pytest.fixture
    def search(self, server, space, profile, training, study_name, tmp_path):
        def call(name, **changes):
            arguments = {
                "space": space,
                "profile": profile,
                "storage": server.url,
                "study": study_name,
                "trials": 6,
                "workers": 0,
                **changes,
            }
            return run_search(arguments.pop("space"), out=tmp_path / name, **arguments)

        return call

    def test_folders_of_one_study_hold_the_same_trials_and_front(self, search, tmp_path, monkeypatch):
        monkeypatch.setenv("PGPASSWORD", "correct horse")
        first = search("a")
        second = search("b", trials=9)
        again = search("a", trials=9, storage=None, study=None, profile=None)
        assert [record.number for record in second.records] == list(range(9))
        assert again.records == second.records
        assert second.records[:6] == first.records
        assert [Path(record.driver).name for record in second.records] == ["a"] * 6 + ["b"] * 3
        front = [(tmp_path / name / "front.csv").read_text() for name in "ab"]
        assert front[0] == front[1]
        assert not (tmp_path / "a" / "study.db").exists()

    def test_no_password_is_written_anywhere(self, search, tmp_path):
        search("a")
        for path in (tmp_path / "a").rglob("*"):
            assert path.is_dir() or b"horse" not in path.read_bytes()

    def test_weights_lie_with_the_driver_that_trained_them(self, search):
        search("a")
        run = search("b", trials=8)
        far = next(record for record in run.front.records if record.driver.endswith("a"))
        near = next(record for record in run.records if record.driver.endswith("b"))
        with pytest.raises(RunError, match="/a"):
            run.checkpoint(far.number)
        assert near.number not in run.front or run.checkpoint(near.number).exists()

    def test_a_driver_that_searches_something_else_is_refused_with_what_differs(
        self, search, space_of, profile, tmp_path
    ):
        search("a")
        with pytest.raises(RunError, match=r"search\.seed differs"):
            search("b", seed=5)
        with pytest.raises(RunError, match="hardware profile"):
            search("c", profile=replace(profile, memory_bandwidth_bytes_per_s=1.0))
        with pytest.raises(RunError, match="objectives"):
            search("d", space=space_of(objectives="[accuracy, memory]"))
        assert sorted(path.name for path in tmp_path.iterdir() if path.name in "bcd") == []

    def test_a_joining_driver_takes_the_profile_of_the_study(self, search, tmp_path):
        search("a")
        search("b", profile=None, trials=7)
        files = [json.loads((tmp_path / name / "profile.json").read_text()) for name in "ab"]
        assert files[0] == files[1]

    def test_drivers_that_begin_at_once_take_the_profile_of_whoever_is_first(
        self, search, profile, tmp_path, monkeypatch
    ):
        def measured_meanwhile(traced, *, given, **others):
            if given is not None:
                return given
            search("a")
            return replace(profile, memory_bandwidth_bytes_per_s=1.0)

        monkeypatch.setattr("mpsearch.search.prepared_search.usable_profile", measured_meanwhile)
        run = search("b", profile=None, trials=7)
        assert [record.number for record in run.records] == list(range(7))
        files = [json.loads((tmp_path / name / "profile.json").read_text()) for name in "ab"]
        assert files[0] == files[1]

    def test_a_folder_whose_study_is_gone_says_so_and_can_go_on_alone(
        self, search, server, study_name, tmp_path
    ):
        search("a")
        with psycopg.connect(server.url) as connection:
            name = f"{study_name} that was"
            connection.execute("UPDATE studies SET study_name = %s WHERE study_name = %s", [name, study_name])
        with pytest.raises(RunError, match="not there any more"):
            search("a", trials=8)
        (tmp_path / "a" / "study.json").unlink()
        run = search("a", trials=8, storage=None, study=None)
        assert [record.number for record in run.records] == list(range(8))

    def test_a_folder_stays_with_its_study(self, search, tmp_path, server):
        search("alone", storage=None, study=None)
        with pytest.raises(RunError, match="keeps to its study"):
            search("alone")
        search("a")
        with pytest.raises(RunError, match="keeps to its study"):
            search("a", study="another")
        with pytest.raises(ConfigError, match="Add --storage"):
            search("b", storage=None)

    def test_a_run_goes_on_by_its_folder_alone(self, search, tmp_path, monkeypatch):
        search("a")
        monkeypatch.setenv("PGPASSWORD", "correct horse")
        target = search_target(tmp_path / "a")
        run = search("a", space=target.space, storage=None, study=None, trials=8)
        assert len(run.records) == 8

    def test_reading_a_run_needs_no_server(self, search, tmp_path, server):
        search("a")
        server.stop()
        try:
            assert len(load_run(tmp_path / "a").records) == 6
        finally:
            server.start()

    def test_a_study_of_another_program_is_left_alone(self, search, server, study_name):
        with psycopg.connect(server.url) as connection:
            made = "INSERT INTO studies (study_name) VALUES (%s) RETURNING study_id"
            (study,) = connection.execute(made, [study_name]).fetchone()
            connection.execute(
                "INSERT INTO trials (number, study_id, state) VALUES (0, %s, 'COMPLETE')", [study]
            )
        with pytest.raises(RunError, match="another program"):
            search("a")


class TestProcesses:
    @pytest.fixture
    def start(self, server, space, profile, tmp_path):
        space_file, profile_file = tmp_path / "space.yaml", tmp_path / "profile.json"
        profile.save(profile_file)
        processes = []

        def popen(name, space=space, **settings):
            space_file.write_text(space.to_yaml())
            files = [str(path) for path in (DRIVER, space_file, profile_file, tmp_path / name)]
            given = [f"{key}={value}" for key, value in {"study": f"of {tmp_path.name}", **settings}.items()]
            with (tmp_path / f"{name}.out").open("a") as output:
                process = subprocess.Popen(
                    [sys.executable, *files, server.url, *given],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
            processes.append(process)
            return process

        yield popen
        for process in processes:
            process.kill()
            process.wait()

    def told(self, tmp_path, name, word):
        path = tmp_path / f"{name}.out"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1:] for line in lines if line.startswith(word)]

    def wait_for(self, condition, processes):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            assert all(process.poll() in (None, 0) for process in processes)
            time.sleep(0.02)

    def audit(self, tmp_path, names, count):
        """What the folders and the database say, read without our loaders; returns who ran the trials."""
        trials = []
        for name in names:
            lines = (tmp_path / name / "trials.jsonl").read_text().splitlines()
            trials.append(sorted((json.loads(line) for line in lines), key=lambda trial: trial["number"]))
        assert all(found == trials[0] for found in trials)
        assert [trial["number"] for trial in trials[0]] == list(range(count))
        assert len({(json.dumps(trial["policy"]), trial["seed"]) for trial in trials[0]}) == count
        assert {trial["state"] for trial in trials[0]} == {"complete"}
        for name in names:
            for number, driver in self.told(tmp_path, name, "finished"):
                assert trials[0][int(number)]["driver"] == driver
        fronts = {(tmp_path / name / "front.csv").read_text() for name in names}
        assert len(fronts) == 1
        return [Path(trial["driver"]).name for trial in trials[0]]

    def test_two_drivers_at_once_and_a_server_that_is_killed_in_the_middle(self, start, server, tmp_path):
        drivers = [start(name, trials=30, pause=0.05) for name in ("a", "b")]
        both_run = lambda: all(len(self.told(tmp_path, name, "finished")) >= 5 for name in ("a", "b"))  # noqa: E731
        self.wait_for(both_run, drivers)
        server.stop("immediate")
        time.sleep(0.5)
        server.start()
        assert [driver.wait(PATIENCE_S) for driver in drivers] == [0, 0]
        ran = self.audit(tmp_path, ("a", "b"), 30)
        assert {"a", "b"} == set(ran)
        assert any("answers again" in " ".join(words) for words in self.told(tmp_path, "a", "notice"))

    def test_a_driver_takes_up_what_a_killed_one_left(self, start, tmp_path):
        killed = start("a", trials=20, pause=0.5, grace=1.0)
        other = start("b", trials=20, pause=0.05, grace=1.0)

        def is_in_the_middle():
            ended = [number for number, driver in self.told(tmp_path, "a", "finished") if driver[-2:] == "/a"]
            is_running = len(self.told(tmp_path, "a", "started")) > len(ended)
            return is_running and self.told(tmp_path, "b", "started")

        self.wait_for(is_in_the_middle, [killed, other])
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        begun = {int(number) for (number,) in self.told(tmp_path, "a", "started")}
        ended = {int(number) for number, _ in self.told(tmp_path, "a", "finished")}
        assert other.wait(PATIENCE_S) == 0
        ran = self.audit(tmp_path, ("b",), 20)
        assert begun - ended, "it was killed in the middle of a trial"
        assert all(ran[number] == ("a" if number in ended else "b") for number in begun)

    @pytest.mark.slow
    def test_a_repeat_of_a_killed_driver_is_taken_up_with_its_seed_and_none_is_trained_twice(
        self, start, space_of, tmp_path
    ):
        space = space_of(search="{sampler: random, workers: 0}")
        killed = start("a", space, trials=24, pause=0.3, grace=1.0, repeats=1)
        other = start("b", space, trials=24, pause=0.2, grace=1.0, repeats=1)

        def repeats():
            ended = {number for number, _ in self.told(tmp_path, "a", "finished")}
            return [int(number) for (number,) in self.told(tmp_path, "a", "repeats") if number not in ended]

        self.wait_for(repeats, [killed, other])
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        left = repeats()
        assert left, "it was killed in the middle of a repeat"
        assert other.wait(PATIENCE_S) == 0
        ran = self.audit(tmp_path, ("b",), 24)
        records = json.loads(f"[{','.join((tmp_path / 'b' / 'trials.jsonl').read_text().splitlines())}]")
        repeated = {record["number"]: record for record in records if record["origin"] == "repeat"}
        assert left[0] in repeated
        assert ran[left[0]] == "b"
        for number, record in repeated.items():
            earlier = [other for other in records if other["policy"] == record["policy"]]
            assert record["seed"] == sum(other["number"] < number for other in earlier) > 0
