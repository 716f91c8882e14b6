"""A search as JSON lines: by events, and from the command itself."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from mpsearch.report.json_lines import JsonLines
from mpsearch.search.events import TrialProgress
from mpsearch.search.trial_record import TrialRecord

PROFILE = Path(__file__).parents[2] / "runs" / "digits-example" / "profile.json"
SPACE = """
schema: 1
task: {name: digits}
layers: [{match: "*", schemes: [w8a8, w32a32]}]
trial: {steps: 2, high_bit_steps: 2, batch_size: 50, calibration_samples: 50, bn_samples: 100}
search: {trials: 3}
"""


def objects_of(events) -> tuple[list[dict], str]:
    stream, messages = io.StringIO(), Console(file=io.StringIO(), width=80)
    with JsonLines(messages, stream) as view:
        for event in events:
            view(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()], messages.file.getvalue()


def test_every_event_is_an_object_with_schema_event_and_time(finished_run, search_story, search_finished):
    events = [*search_story(finished_run), search_finished]
    objects, messages = objects_of(events)
    assert len(objects) == len(events)
    assert {entry["schema"] for entry in objects} == {1}
    assert {entry["event"] for entry in objects} == {
        "stage_started", "stage_progress", "notice", "search_started", "trial_started", "trial_progress",
        "trial_finished", "search_finished",
    }  # fmt: skip
    assert all(datetime.fromisoformat(entry["time"]).utcoffset().total_seconds() == 0 for entry in objects)
    assert messages == "This profile is of another machine.\n"


def test_trials_come_back_as_they_were(finished_run, search_story):
    objects, _ = objects_of(search_story(finished_run, earlier=7))
    begun = next(entry for entry in objects if entry["event"] == "search_started")
    ended = [entry for entry in objects if entry["event"] == "trial_finished"]
    told = begun["trials"] + [entry["trial"] for entry in ended]
    assert tuple(TrialRecord.from_dict({"schema": 3, **trial}) for trial in told) == finished_run.records
    assert set(ended[-1]["front"]) == set(finished_run.front.numbers)
    assert ended[-1]["best"] == finished_run.front.best().number
    assert ended[-1]["hypervolume"] == pytest.approx(finished_run.hypervolume)
    assert ended[-2]["left_low_s"] <= ended[-2]["left_s"] <= ended[-2]["left_high_s"]
    assert begun["budgets"] == {"latency_s": 70e-6, "memory_bytes": 40000.0}
    assert begun["finished"] == 7


def test_what_is_no_number_is_null(finished_run, search_started):
    begun = search_started(finished_run)
    diverged = TrialProgress(number=0, step=1, total=2, loss=float("nan"))
    endless = dataclasses.replace(begun, baseline_score=float("inf"))
    objects, _ = objects_of([endless, diverged])
    assert objects[1]["loss"] is None
    assert objects[0]["baseline"]["score"] is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json-lines")
    (folder / "tiny.yaml").write_text(SPACE)
    return folder


def command(*more: str) -> list[str]:
    search = [sys.executable, "-m", "mpsearch", "search", "tiny.yaml", "--out", "run"]
    return [*search, "--hw", str(PROFILE), "--workers", "0", "--json-lines", *more]


def environment(folder) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPSEARCH_CACHE": str(folder / "cache")}


def test_the_command_writes_objects_and_nothing_else_and_ends_quietly_when_nobody_reads(folder):
    done = subprocess.run(
        command(),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert objects[0]["event"] == "stage_started"
    assert objects[-1]["event"] == "search_finished"
    assert objects[-1]["reason"] == "done"
    assert sum(entry["event"] == "trial_finished" for entry in objects) == 3

    reader = subprocess.Popen(
        command("--trials", "4"),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with reader:
        first = json.loads(reader.stdout.readline())
        reader.stdout.close()
        complaint = reader.stderr.read()
    assert first["event"] == "stage_started"
    assert reader.returncode == 1
    assert "Error" not in complaint
