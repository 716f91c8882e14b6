"""Full disks, folders that may not be written, clocks that jump, folders that are copied or go away."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mpsearch.atomic_file import PART_SUFFIX
from mpsearch.errors import MpsearchError, RunError, StorageError
from mpsearch.search.engine import run_search
from mpsearch.search.events import TrialFinished
from mpsearch.search.run import load_run
from mpsearch.search.run_folder import RunFolder

TRIALS = 12


@pytest.fixture
def search(tmp_path, space_of, profile, training):
    """A search of made-up scores into `run`, or elsewhere; `trials` as many as are asked for."""

    def run(out=None, trials=TRIALS, **arguments):
        space = space_of(search=f"{{trials: {trials}, sampler: random, workers: 0}}")
        return run_search(space, out=out or tmp_path / "run", profile=profile, **arguments)

    return run


def require_whole(path: Path) -> int:
    """Every file can be read, and study and trials.jsonl say the same; returns how many trials there are."""
    folder = RunFolder(path)
    connection = sqlite3.connect(folder.database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    run = load_run(path)
    numbers = [record.number for record in run.records]
    assert len(set(numbers)) == len(numbers)
    assert len({record.policy for record in run.records}) == len(numbers)
    return len(numbers)


# A full disk ---------------------------------------------------------------------------------------------


@contextmanager
def small_disk(at: Path, size: str):
    """A file system of that size at `at`."""
    at.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def fill(disk: Path, leaving: int) -> None:
    free = os.statvfs(disk)
    size = free.f_bavail * free.f_frsize - leaving
    if size > 0:
        (disk / "ballast").write_bytes(b"\0" * size)


@pytest.mark.parametrize("left", [0, 12288, 102400])
def test_a_disk_that_fills_up_during_a_search_stops_it_and_loses_nothing(tmp_path, search, left):
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        finished = []

        def fill_after_four(event):
            if isinstance(event, TrialFinished):
                finished.append(event.record.number)
                if len(finished) == 4:
                    fill(disk, left)

        with pytest.raises(StorageError, match="Free some space"):
            search(disk / "run", trials=200, on_event=fill_after_four)
        there = {record.number for record in load_run(disk / "run").records}
        assert there >= set(finished)  # what the user was told is on disk, full or not
        (disk / "ballast").unlink()
        search(disk / "run", trials=len(finished) + 5)
        assert require_whole(disk / "run") == len(finished) + 5
        assert not [path for path in (disk / "run").rglob("*") if path.suffix == PART_SUFFIX]


@pytest.mark.parametrize("left", [0, 20480])
def test_a_disk_that_is_full_before_the_first_trial_is_a_storage_error(tmp_path, search, left):
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        fill(disk, left)
        with pytest.raises(StorageError):
            search(disk / "run")
        (disk / "ballast").unlink()
        search(disk / "run")
        assert require_whole(disk / "run") == TRIALS


@pytest.mark.parametrize("name", ["trials.jsonl", "front.csv", "space.yaml", "run.json", "profile.json"])
def test_each_file_that_finds_no_space_stops_the_search_and_is_put_right_later(
    tmp_path, search, monkeypatch, name
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space_for(name))
        with pytest.raises(StorageError, match="No space left"):
            search(trials=5)
    search(trials=6)
    assert require_whole(tmp_path / "run") == 6


def test_a_log_that_finds_no_space_stops_the_search_and_is_put_right_later(tmp_path, search):
    search(trials=4)
    log = tmp_path / "run" / "log.txt"
    log.unlink()
    log.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"log.txt must be writable; got: No space left"):
        search(trials=6)
    log.unlink()
    search(trials=6)
    assert require_whole(tmp_path / "run") == 6


def no_space_for(name):
    """In the place of `os.fsync`: a file of that name, or the part that it is written to, finds no space."""
    sync = os.fsync

    def refuse(handle):
        if name in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(28, "No space left on device")
        sync(handle)

    return refuse


@pytest.mark.parametrize("name", ["run.json", "trials.jsonl", "measured.jsonl", "profile.json", "space.yaml"])
@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_a_device_or_a_pipe_in_the_place_of_a_file_is_refused_and_not_read_for_ever(
    tmp_path, search, name, device
):
    search(trials=4)
    place = tmp_path / "run" / name
    place.unlink(missing_ok=True)
    if device == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(device)
    with pytest.raises(MpsearchError):
        load_run(tmp_path / "run")


# A folder that may not be written ------------------------------------------------------------------------


def as_nobody(action):
    """Run `action` in a child without root's rights; returns the class of the typed error, or `done`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                action()
                said = "done"
            except MpsearchError as error:
                said = f"{type(error).__name__}: {error}"
            except BaseException as error:
                said = f"crash {error!r}"
            os.write(writing, said.encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_to_all(tmp_path):
    """So that another user can come as far as the folders of the test."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)


def test_a_folder_that_may_not_be_written_is_refused_and_read(tmp_path, search, open_to_all):
    search(trials=4)
    run = tmp_path / "run"
    for path in (run, *run.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    said = as_nobody(lambda: search(trials=6))
    assert said.startswith("StorageError"), said
    assert "permissions" in said
    assert as_nobody(lambda: load_run(run).front.records[0]) == "done"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_new_run_in_a_folder_that_may_not_be_written_is_refused(tmp_path, search, open_to_all):
    (tmp_path / "mine").mkdir(mode=0o555)
    said = as_nobody(lambda: search(tmp_path / "mine" / "run"))
    assert said.startswith("StorageError"), said
    assert "permissions" in said


# Clocks --------------------------------------------------------------------------------------------------


class JumpingClock(datetime):
    """Each look at it lies years before or after the last."""

    looks = 0

    @classmethod
    def now(cls, tz=None):
        cls.looks += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=4000 * (-1) ** cls.looks)


def test_a_clock_that_jumps_changes_nothing_but_the_times_that_it_wrote(tmp_path, search, monkeypatch):
    straight = search(tmp_path / "straight")
    monkeypatch.setattr("mpsearch.search.trial_record.datetime", JumpingClock)
    jumping = search(tmp_path / "jumping", trials=6, timeout_s=3600)
    jumping = search(tmp_path / "jumping", timeout_s=3600)
    assert JumpingClock.looks > 12
    told = [(r.number, r.policy, r.score) for r in jumping.records]
    assert told == [(r.number, r.policy, r.score) for r in straight.records]
    assert all(0 <= record.seconds < 60 for record in jumping.records)
    assert require_whole(tmp_path / "jumping") == TRIALS


# Folders -------------------------------------------------------------------------------------------------


def test_a_folder_that_was_copied_while_it_was_written_opens_and_goes_on(tmp_path, search):
    copies = []

    def copy(event):
        if isinstance(event, TrialFinished):
            to = tmp_path / f"copy-{len(copies)}"
            shutil.copytree(tmp_path / "run", to)
            copies.append((to, event.finished))

    search(on_event=copy)
    assert len(copies) == TRIALS
    for to, finished in copies:
        assert len(load_run(to).records) == finished
    for to, _ in copies[::4]:
        search(to)
        assert require_whole(to) == TRIALS


def test_a_folder_that_is_copied_again_and_again_from_outside_opens(tmp_path, search):
    """Each file at another moment, as `cp -r` does it: no copy is corrupt, whatever it lacks."""
    copies, stop = [], threading.Event()

    def copy_always():
        while not stop.is_set():
            to = tmp_path / f"copy-{len(copies)}"
            copied = subprocess.run(
                ["cp", "-r", str(tmp_path / "run"), str(to)], capture_output=True, check=False
            )
            if copied.returncode == 0:
                copies.append(to)

    copier = threading.Thread(target=copy_always)
    copier.start()
    try:
        search(trials=12)
    finally:
        stop.set()
        copier.join()
    opened = [to for to in copies if RunFolder(to).exists]
    assert opened
    for to in opened:
        with suppress(MpsearchError):  # a copy of two moments may be refused; nothing else may happen
            load_run(to)
    whole = opened[-1]
    search(whole, trials=14)
    assert require_whole(whole) == 14


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_folder_that_goes_away_during_a_search_is_a_typed_error_and_leaves_no_half_run(
    tmp_path, search, how
):
    run = tmp_path / "run"

    def take_away(event):
        if isinstance(event, TrialFinished) and event.finished == 4:
            if how == "removed":
                shutil.rmtree(run)
            else:
                run.rename(tmp_path / "elsewhere")

    with pytest.raises((StorageError, RunError)):
        search(on_event=take_away)
    if how == "moved":
        assert len(load_run(tmp_path / "elsewhere").records) >= 4
        search(tmp_path / "elsewhere")
        assert require_whole(tmp_path / "elsewhere") == TRIALS
    assert not RunFolder(run).exists
    search()
    assert require_whole(run) == TRIALS


def test_two_searches_at_once_leave_one_whole_run(tmp_path, search):
    """Both are started from the same moment; the later one is refused, or goes on where the first ended."""
    ended = [as_child(lambda: search(trials=20)) for _ in range(2)]
    said = [end() for end in ended]
    assert "done" in said
    assert all(text == "done" or text.startswith("RunError: One process at a time") for text in said), said
    assert require_whole(tmp_path / "run") == 20


def as_child(action):
    """Start `action` in a child now; what is returned waits for it, and says how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            action()
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:4000])
        os._exit(0)
    os.close(writing)

    def wait():
        with os.fdopen(reading) as answer:
            said = answer.read()
        os.waitpid(child, 0)
        return said

    return wait


# The network, and what user code says --------------------------------------------------------------------

CLONE_NEWNET = 0x40000000


def test_a_search_needs_no_network(tmp_path, search):
    def without_network():
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise PermissionError
        devices = Path("/proc/net/dev").read_text().splitlines()[2:]
        assert {line.split(":")[0].strip() for line in devices} <= {"lo"}
        search()

    said = as_child(without_network)()
    if said.startswith("PermissionError"):
        pytest.skip("only root may leave the network")
    assert said == "done"
    assert require_whole(tmp_path / "run") == TRIALS


@pytest.mark.parametrize(
    "words",
    ["line\u2028separator", "next\x85line", "half \udcff", "tab\tand\nline", "\x1b[2J", "[/bold]", "\0"],
)
def test_any_words_of_a_failing_trial_are_kept_in_one_line(tmp_path, search, training, words):
    def fail_once(number, policy):
        if number == 2:
            raise ValueError(words)

    training.answer = fail_once
    search(trials=5)
    search(trials=6)
    failed = [record for record in load_run(tmp_path / "run").records if record.failure is not None]
    assert len(failed) == 1
    failed[0].failure.encode()
    written = RunFolder(tmp_path / "run").written_records()
    assert sorted(written) == list(range(6))
    lines = RunFolder(tmp_path / "run").trials_file.read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["number"] for line in lines] == list(range(6))
