"""Nothing is lost: searches are killed at random moments, and their files audited.

The default run kills a dozen times, `pytest -m slow tests/search/test_kills.py` two hundred times.
"""

import contextlib
import functools
import importlib.util
import itertools
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import psycopg
import pytest

from mpsearch.errors import TrialError
from mpsearch.search import engine
from mpsearch.search.run import load_run

TRIALS = 14
REPEATING = {"layers": '[{match: "*", schemes: [w1a1, w4a8, w32a32]}]', "sampler": "mpsearch"}
MANY = pytest.mark.slow


def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


auditor, killing = load("run_auditor"), load("killed_searches")


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    with killing.WarmSearches(tmp_path_factory.mktemp("searches")) as warm:
        yield warm


@pytest.fixture
def new_lives(tmp_path, space_of, profile, searches):
    """A function: a run that nobody has searched into yet, for `Lives`."""
    profile.save(tmp_path / "profile.json")
    name = space_of().task.name
    numbers = itertools.count()

    def build(*options, trials=TRIALS, pause_s=0.002, sampler="random", **changes):
        folder = tmp_path / f"lives-{next(numbers)}"
        folder.mkdir()
        task = f'{{name: "{name}", args: {{pause_s: {pause_s}}}}}'
        space = space_of(task=task, search=f"{{sampler: {sampler}}}", **changes)
        (folder / "space.yaml").write_text(space.to_yaml())
        command = ["search", str(folder / "space.yaml"), "--hw", str(tmp_path / "profile.json"), *options]
        return killing.Lives(searches, folder, command, trials, auditor.audit)

    return build


@pytest.fixture
def whole(new_lives, searches):
    """How long a search takes in seconds, and between how many steps it can be killed."""
    if searches.whole is None:
        new_lives("--workers", "0").come_to_the_end()  # trains the baseline, into the cache
        began = time.monotonic()
        life = new_lives("--workers", "0").begin(die_at=0)
        assert life.wait() == 0, life.errors.read_text()
        searches.whole = time.monotonic() - began, int(Path(f"{life.output}.moments").read_text())
    return searches.whole


@pytest.fixture
def finished(new_lives, searches, tmp_path):
    """A copy of a finished run, and what its search has told."""
    if searches.finished is None:
        searches.finished = new_lives("--workers", "0")
        searches.finished.come_to_the_end()
    copied = tmp_path / "copied"
    shutil.copytree(searches.finished.run, copied)
    return copied, searches.finished


def forget_in_the_study(run):
    with contextlib.closing(sqlite3.connect(run / "study.db")) as connection, connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key = 'record' AND trial_id = 3")


def tear(path):
    os.truncate(path, path.stat().st_size - 30)


def repeat_a_line(run):
    lines = (run / "trials.jsonl").read_text().splitlines(keepends=True)
    (run / "trials.jsonl").write_text("".join([*lines, lines[5]]))


def change_a_score(run):
    with contextlib.closing(sqlite3.connect(run / "study.db")) as connection, connection:
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = replace(value_json, '\"score\": 0.', "
            "'\"score\": 0.0') WHERE key = 'record' AND trial_id = 3"
        )


def overwrite_the_database(run):
    content = bytearray((run / "study.db").read_bytes())
    content[8192:16384] = bytes(8192)
    (run / "study.db").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (forget_in_the_study, "was announced and is not in the study"),
        (lambda run: tear(run / "trials.jsonl"), "was announced and is not in trials.jsonl"),
        (repeat_a_line, "is 2 times in trials.jsonl"),
        (change_a_score, "otherwise than it was announced"),
        (overwrite_the_database, r"study\.db"),
        (lambda run: tear(min((run / "checkpoints").iterdir())), "bytes, .* were announced"),
        (lambda run: min((run / "checkpoints").iterdir()).unlink(), "on the front, are missing"),
        (lambda run: (run / "checkpoints" / ".3.part.safetensors").touch(), "half-written files"),
        (lambda run: (run / ".front.csv.ab12.part").touch(), "half-written files"),
    ],
)
def test_the_auditor_sees_damage(finished, damage, finding):
    run, lives = finished

    def audit():
        return auditor.audit(run, lives.outputs, total=TRIALS, is_over=True, before=lives.found)[0]

    assert not audit()
    damage(run)
    problems = audit()
    assert any(re.search(finding, problem) for problem in problems), problems


def repeats_begun(life):
    """Number -> policy of the repeats that a search has told of."""
    begun = life.events("trial_started")
    return {event["number"]: event["policy"] for event in begun if event["origin"] == "repeat"}


def trial(number, score, *, policy="w8a8", memory=10, **changes):
    costs = {"latency_s": 1e-3, "memory_bytes": memory}
    record = {"number": number, "score": score, "policy": {"0": policy}, "costs": costs, "state": "complete"}
    return number, {**record, "origin": "sampler", "seed": 0, **changes}


@pytest.mark.parametrize(
    ("later", "finding"),
    [
        ({"origin": "repeat", "seed": 1}, None),
        ({"origin": "repeat", "seed": 1, "policy": "w4a8"}, "nobody has tried"),
        ({"origin": "repeat"}, "and seed 0"),
        ({"seed": 1}, "2 trials have the policy"),
    ],
)
def test_the_auditor_knows_repeats_from_policies_that_are_tried_twice(later, finding):
    problems = auditor._trained_twice(dict([trial(0, 0.9), trial(1, 0.8, **later)]))
    assert any(finding in problem for problem in problems) if finding else not problems


def test_the_auditor_asks_for_the_weights_of_a_point_that_a_mean_brought_back_in_the_end(tmp_path):
    beaten, lucky, unlucky = (
        trial(0, 0.8, policy="w4a8"),
        trial(1, 0.9),
        trial(2, 0.6, origin="repeat", seed=1),
    )
    missing = functools.partial(auditor._weights_of_front, tmp_path)
    assert missing(dict([beaten, lucky]), is_over=False) == [
        "the weights of trial 1, on the front, are missing"
    ]
    assert missing(dict([beaten, lucky, unlucky]), is_over=False) == []
    assert missing(dict([beaten, lucky, unlucky]), is_over=True) == [
        "the weights of trial 0, on the front, are missing"
    ]


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=MANY)])
def test_a_driver_killed_at_any_time_loses_nothing(new_lives, whole, kills):
    generator = random.Random(kills)
    seconds, _ = whole
    killed = 0
    while killed < kills:
        lives = new_lives("--workers", generator.choice("0012"))
        status = None
        while status != 0:
            life = lives.begin()
            if killed < kills:
                time.sleep(generator.uniform(0, seconds))
                life.signal(signal.SIGKILL)
            status = life.wait()
            killed += status == -signal.SIGKILL
            lives.audit(life)
        assert {record["state"] for record in lives.found[-1].values()} == {"complete"}


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=MANY)])
def test_a_driver_killed_between_any_two_steps_on_files_loses_nothing(new_lives, whole, kills):
    """Between each open, rename, removal and commit; the many are spread evenly, so that none is left out."""
    _, moments = whole
    generator = random.Random(kills)
    steps = sorted({round(moments * (place + generator.random()) / kills) for place in range(kills)} - {0})
    lives, killed = new_lives("--workers", "0"), 0
    for step in steps:
        life = lives.begin(die_at=step)
        status = life.wait()
        lives.audit(life)
        killed += status == -signal.SIGKILL
        if len(lives.outputs) == 4 or status == 0:
            lives.come_to_the_end()
            lives = new_lives("--workers", "0")
    assert killed >= 0.5 * len(steps)  # a later life has less to do, and may end before its step


@MANY
@pytest.mark.parametrize("workers", [0, 2])
def test_a_driver_killed_in_the_middle_of_a_repeat_begins_it_again_with_its_seed(new_lives, workers):
    generator = random.Random(workers)
    lives = new_lives("--workers", str(workers), trials=20, pause_s=0.01, **REPEATING)
    begun = {}
    for _ in range(4):
        life = lives.begin()
        status = None
        while status is None and not repeats_begun(life):
            status = life.wait(limit_s=0.002)
        if status is None and life.wait(generator.uniform(0, 0.05)) is None:
            status = life.kill()
        begun |= repeats_begun(life)
        lives.audit(life)
    lives.come_to_the_end()
    repeats = {n: r["policy"] for n, r in lives.found[-1].items() if r["origin"] == "repeat"}
    assert begun
    assert begun.items() <= repeats.items()


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=MANY)])
def test_a_killed_worker_fails_its_trial_alone(new_lives, kills):
    generator = random.Random(kills)
    killed = 0
    while killed < kills:
        lives = new_lives("--workers", "1" if kills < 5 else "2", pause_s=0.01)
        life = lives.begin()
        in_this_life = 0
        while killed < kills and in_this_life < 3:
            wanted = len(life.events("trial_finished")) + 2
            if not life.wait_for(wanted) or life.wait(generator.uniform(0, 0.05)) is not None:
                break
            workers = life.family()
            if workers:
                os.kill(generator.choice(workers), signal.SIGKILL)
                killed, in_this_life = killed + 1, in_this_life + 1
        assert life.wait() == 0, life.errors.read_text()
        lives.audit(life)
        failures = [record["failure"] for record in lives.found[-1].values() if record["state"] == "failed"]
        assert len(failures) <= in_this_life
        assert all("SIGKILL" in failure for failure in failures), failures


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=MANY)])
def test_driver_and_workers_killed_at_once_lose_nothing(new_lives, whole, kills):
    generator = random.Random(kills)
    seconds, _ = whole
    killed = 0
    while killed < kills:
        lives = new_lives("--workers", "1" if kills < 5 else "2", pause_s=0.01)
        for _ in range(4):
            if killed == kills:
                break
            life = lives.begin()
            time.sleep(generator.uniform(0, 3 * seconds))
            doomed = [life.process, *life.family()]
            generator.shuffle(doomed)
            for process in doomed:
                if life.status is None:
                    os.kill(process, signal.SIGKILL)
            killed += life.wait() == -signal.SIGKILL
            lives.audit(life)
        lives.come_to_the_end("--workers", "0")


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=MANY)])
def test_what_a_power_cut_takes_from_the_study_is_taken_back_from_the_synced_lines(new_lives, whole, kills):
    """The study's journal is not synced at each commit: any of its end may go. A line may be torn."""
    generator = random.Random(kills)
    seconds, _ = whole
    lives, cuts, took = new_lives("--workers", "0"), 0, 0
    while cuts < kills or (not took and cuts < kills + 10):  # a cut may fall where nothing is lost
        life = lives.begin()
        life.wait_for(generator.randrange(2, 6))
        if life.wait(generator.uniform(0, 0.2 * seconds)) is None:
            life.kill()
        lives.audit(life)
        journal = lives.run / "study.db-wal"
        if journal.exists():
            before = len(auditor.read_study_file(lives.run / "study.db").records)
            os.truncate(journal, generator.randrange(journal.stat().st_size))
            with (lives.run / "trials.jsonl").open("a") as file:
                file.write('{"schema": 3, "number": 99, "pol')
            took += before - len(auditor.read_study_file(lives.run / "study.db").records)
            cuts += 1
        lives.come_to_the_end()
        lives = new_lives("--workers", "0")
    assert took > 0


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("SIGINT", 2),
        ("SIGTERM", 1),
        pytest.param("SIGINT", 1, marks=MANY),
        pytest.param("SIGHUP", 1, marks=MANY),
    ],
)
def test_a_search_that_is_asked_to_end_says_how_to_go_on_and_leaves_no_process(new_lives, name, times):
    number = getattr(signal, name)
    lives = new_lives("--workers", "1", pause_s=0.02)
    lives.expected = {128 + number}
    life = lives.begin()
    assert life.wait_for(2)
    for _ in range(times):
        life.signal(number)
        life.wait(limit_s=0.01)
    assert life.wait() == 128 + number
    lives.audit(life)
    told = " ".join(life.errors.read_text().split())
    assert "the same command goes on" in told
    assert "Traceback" not in told
    if times == 1:
        assert life.events("search_finished")[-1]["reason"] == "interrupted"
        assert not list(lives.run.glob("study.db-*"))


@MANY
def test_a_user_who_hammers_ctrl_c_loses_nothing(new_lives):
    lives = new_lives("--workers", "2", pause_s=0.02)
    lives.expected = {128 + signal.SIGINT}
    life = lives.begin()
    assert life.wait_for(2)
    while life.wait(limit_s=0.01) is None:
        life.signal(signal.SIGINT)
    lives.audit(life)
    assert "Traceback" not in life.errors.read_text()
    lives.come_to_the_end()


def test_a_closed_terminal_ends_a_search_and_its_workers(new_lives):
    lives = new_lives("--workers", "1", pause_s=0.02)
    lives.expected = {128 + signal.SIGHUP}
    terminal, theirs = os.openpty()
    life = lives.begin(terminal=os.ttyname(theirs))
    os.close(theirs)
    try:
        assert life.wait_for(2)
    finally:
        os.close(terminal)
    assert life.wait() == 128 + signal.SIGHUP
    lives.audit(life)
    assert "Interrupted" in (lives.run / "log.txt").read_text()


@pytest.fixture(scope="module")
def server():
    postgres = load("postgres_server").PostgresServer()
    yield postgres
    postgres.remove()


def read_shared_study(url, name):
    """The auditor's view of a study in PostgreSQL."""
    of_study = "FROM trials JOIN studies USING (study_id) WHERE study_name = %s"
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('trial_user_attributes')").fetchone() == (None,):
            return auditor.study_of([], [])  # killed before it was made
        trials = connection.execute(f"SELECT trial_id, state::text {of_study}", [name]).fetchall()
        attributes = connection.execute(
            f"SELECT trial_id, key, value_json FROM trial_user_attributes WHERE trial_id IN "
            f"(SELECT trial_id {of_study})",
            [name],
        ).fetchall()
    return auditor.study_of(trials, attributes)


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=MANY)])
def test_a_killed_database_server_or_driver_of_it_loses_nothing(new_lives, whole, server, kills):
    """The server is back after a moment, and a search that lives goes on by itself."""
    generator = random.Random(kills)
    seconds, _ = whole
    killed = 0
    while killed < kills:
        name = f"study-{kills}-{killed}"
        lives = new_lives("--workers", "0", "--storage", server.url, "--study", name, pause_s=0.01)
        lives.expected = {2}  # of a search that is begun while the server is away
        lives.study = functools.partial(read_shared_study, server.url, name)
        for victim in ("server", *generator.choices(("driver", "server"), k=2)):
            if killed == kills:
                break
            life = lives.begin()
            life.wait_for(generator.randrange(4))
            if life.wait(generator.uniform(0, seconds / 4)) is not None:
                lives.audit(life)
                continue
            if victim == "driver":
                life.kill()
            else:
                server.kill()
                time.sleep(generator.uniform(0, 0.5))
                server.start()
            killed += 1
            assert life.wait() != 2 or "StorageError: The study's server" in life.errors.read_text()
            lives.audit(life)
        lives.come_to_the_end()


@pytest.mark.ray
@pytest.mark.parametrize("kills", [pytest.param(15, marks=MANY)])
def test_killed_processes_of_a_ray_cluster_lose_nothing(new_lives, kills):
    """Actors and their workers are replaced; without its head the search ends, and goes on without Ray."""
    generator = random.Random(kills)
    victims = itertools.cycle(
        ["driver", "ray::ResourceTrainable", "worker_main", "raylet/raylet", "gcs_server"]
    )
    for victim in itertools.islice(victims, kills):
        lives = new_lives(pause_s=0.02)
        lives.expected = {2}
        life = lives.begin("--ray", "local", "--workers", "2")
        assert life.wait_for(generator.randrange(1, 5)), life.errors.read_text()
        life.wait(generator.uniform(0, 0.3))
        found = [life.process] if victim == "driver" else life.relatives(victim)
        assert found or life.status is not None, victim
        if found and life.status is None:
            os.kill(generator.choice(found), signal.SIGKILL)
        status = life.wait()
        lives.audit(life)
        assert victim not in ("ray::ResourceTrainable", "worker_main") or status == 0
        lives.come_to_the_end("--workers", "0")


def fatal_work(*, is_killed):
    """Work that kills the process which runs it, or never ends; a class of here goes to workers by value."""

    class Fatal:
        threads = 1

        def load(self):
            return self

        def run(self, job, on_step=None):
            if is_killed:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)

    return Fatal()


@pytest.mark.parametrize(
    ("is_killed", "reason"), [(True, "ended by SIGKILL"), (False, "time limit of 100 ms")]
)
def test_ten_workers_that_die_in_a_row_stop_the_search(
    space, profile, tmp_path, training, monkeypatch, is_killed, reason
):
    monkeypatch.setattr(engine._Search, "_work", lambda *_arguments: fatal_work(is_killed=is_killed))
    with pytest.raises(TrialError, match=f"10 trials in a row failed for one reason: .*{reason}"):
        engine.run_search(
            space,
            out=tmp_path / "run",
            profile=profile,
            trials=40,
            workers=1,
            trial_timeout_s=None if is_killed else 0.1,
        )
    monkeypatch.undo()
    run = load_run(tmp_path / "run")
    assert [record.state for record in run.records] == ["failed"] * 10
    assert all(re.search(reason, record.failure) for record in run.records)
