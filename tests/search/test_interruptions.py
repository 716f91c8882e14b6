"""Processes that meet at one run; those that are killed are in test_kills.py."""

import os
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
run_search(load_space(sys.argv[1]), out=sys.argv[2], profile=sys.argv[3])
"""
PATIENCE_S = 90


@pytest.fixture
def searching(tmp_path, space_of, profile):
    """A search by another process into `run`, after its first trial; it has hundreds before it."""
    name = space_of().task.name
    space = space_of(
        task=f'{{name: "{name}", args: {{pause_s: 0.01}}}}',
        search="{trials: 400, sampler: random, workers: 0}",
    )
    (tmp_path / "space.yaml").write_text(space.to_yaml())
    profile.save(tmp_path / "profile.json")
    files = (str(tmp_path / file) for file in ("space.yaml", "run", "profile.json"))
    trials = RunFolder(tmp_path / "run").trials_file
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, *files],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (trials.exists() and trials.stat().st_size):
                assert process.poll() is None, process.stdout.read().decode()
                assert time.monotonic() < deadline, "no trials"
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def test_a_second_process_on_one_run_is_refused_with_the_first_ones_number(
    searching, tmp_path, space, profile
):
    with pytest.raises(RunError, match=f"process {searching.pid} does"):
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
