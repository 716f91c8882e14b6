"""Processes that are killed, and processes that meet."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mpsearch.errors import RunError
from mpsearch.search.engine import run_search
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder

DRIVER = """
import sys
from mpsearch.search.engine import run_search
from mpsearch.search.space_file import load_space
if __name__ == "__main__":
    run_search(load_space(sys.argv[1]), out=sys.argv[2], profile=sys.argv[3], workers=int(sys.argv[4]))
"""


@pytest.fixture
def command(tmp_path, space_of, profile):
    """The command line of a search in another process, each trial of which takes a moment."""

    def build(workers=1, trials=14):
        name = space_of().task.name
        space = space_of(
            task=f'{{name: "{name}", args: {{pause_s: 0.01}}}}',
            search=f"{{trials: {trials}, sampler: random}}",
        )
        (tmp_path / "space.yaml").write_text(space.to_yaml())
        (tmp_path / "driver.py").write_text(DRIVER)
        profile.save(tmp_path / "profile.json")
        files = ("driver.py", "space.yaml", "run", "profile.json")
        return [sys.executable, *(str(tmp_path / file) for file in files), str(workers)]

    return build


@pytest.fixture
def start(_children_hear_ctrl_c):
    """Starts a command in another process; none of them outlives the test."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = []

    def popen(command):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        processes.append(process)
        return process

    yield popen
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for_trials(folder, count, process):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        lines = folder.trials_file.read_text().count("\n") if folder.trials_file.exists() else 0
        if lines >= count:
            return
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.01)
    raise AssertionError("no trials")


@pytest.mark.parametrize(("workers", "moments"), [(1, (2, 5, 9)), (2, (4,))])
def test_a_search_that_is_killed_keeps_its_trials_and_goes_on(command, start, tmp_path, workers, moments):
    folder = RunFolder(tmp_path / "run")
    finished = 0
    for kill_at in moments:
        process = start(command(workers))
        wait_for_trials(folder, kill_at, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        records = folder.read_records()
        assert len(records) >= max(kill_at, finished)
        finished = len(records)
        assert len(load_run(folder.path).records) == finished
    process = start(command(workers))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output.decode()
    run = load_run(folder.path)
    assert [r.number for r in run.records] == list(range(14))
    assert len({r.policy for r in run.records}) == 14
    assert all(r.is_complete for r in run.records)
    kept = {path.name for path in folder.checkpoints.iterdir()}
    assert kept == {f"{number}.safetensors" for number in run.front.numbers}
    assert set(run.test_scores) == set(run.front.numbers)
    lines = [json.loads(line) for line in folder.trials_file.read_text().splitlines()]
    assert sorted(line["number"] for line in lines) == list(range(14))


def test_a_second_process_on_one_run_is_refused_with_the_first_ones_number(
    command, start, tmp_path, space, profile
):
    process = start(command(trials=400))
    wait_for_trials(RunFolder(tmp_path / "run"), 1, process)
    with pytest.raises(RunError, match=f"process {process.pid} does"):
        run_search(space, out=tmp_path / "run", profile=profile)
    assert load_run(tmp_path / "run").records  # reading is no searching


def test_a_lock_that_a_killed_process_left_is_no_lock(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.lock_file.write_text("999999\n")
    with folder.locked():
        assert folder.lock_file.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_was_discarded_meanwhile_is_no_lock(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    found = folder.create()
    opened = os.open

    def discarded_at_once(path, *arguments):
        handle = opened(path, *arguments)
        folder.discard(but=found)
        return handle

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", discarded_at_once)
        with pytest.raises(RunError, match="another just gave it up"), folder.locked():
            pass
    folder.create()
    with folder.locked():
        pass


def test_ctrl_c_ends_a_search_with_workers(command, start, tmp_path):
    process = start(command(workers=2, trials=400))
    folder = RunFolder(tmp_path / "run")
    wait_for_trials(folder, 3, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in output
    assert "Interrupted" in folder.log_file.read_text()
    assert len(load_run(folder.path).records) >= 3
