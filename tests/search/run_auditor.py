"""What a run's files hold, read by nothing but `json`, `sqlite3` and `csv`, and what they ought to hold.

The reference is what its searches told their user, line by line (`--json-lines`): a trial that was announced
as finished must be in the study and in trials.jsonl from then on, once, as it was announced.
"""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

# Objective -> where a record has it, and the sign that makes less better.
_OBJECTIVES = {
    "accuracy": (lambda record: record["score"], -1),
    "latency": (lambda record: record["costs"]["latency_s"], 1),
    "memory": (lambda record: record["costs"]["memory_bytes"], 1),
}
_STATES = {"complete": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
_TRIALS = "SELECT trial_id, state FROM trials"
_ATTRIBUTES = "SELECT trial_id, key, value_json FROM trial_user_attributes"


@dataclass
class Told:
    """What the user has been told so far, over all lives of a search."""

    finished: dict[int, dict[str, Any]] = field(default_factory=dict)
    policies: dict[int, dict[str, str]] = field(default_factory=dict)  # of every trial that was begun
    contradictions: list[str] = field(default_factory=list)

    @classmethod
    def by(cls, outputs: Iterable[Path]) -> Told:
        told = cls()
        for output in outputs:
            for line in output.read_bytes().split(b"\n")[:-1]:  # what follows the last end of line is torn
                told._hear(json.loads(line))
        return told

    def _hear(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "search_started":
                for trial in event["trials"]:
                    self._hear_finished(trial)
                missing = self.finished.keys() - {trial["number"] for trial in event["trials"]}
                if missing:
                    self.contradictions.append(f"a later search forgot trials {sorted(missing)}")
            case "trial_started":
                self._hear_policy(event["number"], event["policy"])
            case "trial_finished":
                if event["trial"]["number"] in self.finished:
                    self.contradictions.append(f"trial {event['trial']['number']} finished twice")
                self._hear_finished(event["trial"])

    def _hear_finished(self, trial: dict[str, Any]) -> None:
        self._hear_policy(trial["number"], trial["policy"])
        known = self.finished.setdefault(trial["number"], trial)
        if known != trial:
            self.contradictions.append(f"trial {trial['number']} was told as {known}, then as {trial}")

    def _hear_policy(self, number: int, policy: dict[str, str]) -> None:
        if self.policies.setdefault(number, policy) != policy:
            self.contradictions.append(f"trial {number} was begun with two policies")


@dataclass
class Study:
    """The trials of a study's database: finished records, and how many trials are in which state."""

    records: list[dict[str, Any]]
    states: Counter[str]
    problems: list[str]


def audit(
    folder: Path,
    outputs: Sequence[Path],
    *,
    total: int,
    is_over: bool = False,
    before: Sequence[Mapping[int, Any]] = (),
    study: Study | None = None,
) -> tuple[list[str], dict[int, dict[str, Any]]]:
    """What is wrong with a run, and the finished trials that are on disk.

    `outputs`: what its searches have told, in order. `is_over`: the last of them came to its end, so that
    nothing may be left open; else it was killed. `before`: what earlier audits have found on the disk, which
    must still be there. `study`: where it is not in the folder.
    """
    told = Told.by(outputs)
    problems = list(told.contradictions)
    database = folder / "study.db"
    if study is None:
        study = read_study_file(database) if database.exists() else Study([], Counter(), [])
    problems += study.problems
    lines, torn = _read_lines(folder / "trials.jsonl")
    if torn and is_over:
        problems.append(f"trials.jsonl has a torn line: {torn[:80]!r}")
    stored = _unique(study.records, "the study", problems)
    written = _unique(lines, "trials.jsonl", problems)
    for number in stored.keys() & written.keys():
        if stored[number] != written[number]:
            problems.append(f"trial {number} differs between the study and trials.jsonl")
    on_disk = {**written, **stored}
    for number, trial in told.finished.items():
        for place, records in (("the study", stored), ("trials.jsonl", written)):
            if number not in records:
                problems.append(f"trial {number} was announced and is not in {place}")
            elif {key: value for key, value in records[number].items() if key != "schema"} != trial:
                problems.append(f"trial {number} is in {place} otherwise than it was announced")
    for known in before:
        problems += [f"trial {n} was on the disk and is gone" for n in known.keys() - on_disk.keys()]
        problems += [
            f"trial {n} has changed" for n in known.keys() & on_disk.keys() if known[n] != on_disk[n]
        ]
    for number, record in on_disk.items():
        if told.policies.get(number, record["policy"]) != record["policy"]:
            problems.append(f"trial {number} was begun with another policy")
    problems += _trained_twice(on_disk)
    problems += _weights_of_front(folder, stored, is_over=is_over)
    if is_over:
        problems += _left_open(folder, study, stored, written, total)
    return problems, on_disk


def read_study_file(database: Path) -> Study:
    """A copy is read: opening a database that was killed repairs it, which is the next search's to do."""
    with tempfile.TemporaryDirectory() as temporary:
        for suffix in ("", "-wal", "-journal"):
            source = database.with_name(database.name + suffix)
            if source.exists():
                shutil.copyfile(source, Path(temporary, source.name))
        try:
            with closing(sqlite3.connect(Path(temporary, database.name))) as connection:
                verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
                tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'trials'").fetchall()
                if not tables:  # killed before it was made
                    return Study([], Counter(), [] if verdict == "ok" else [f"study.db: {verdict}"])
                trials = connection.execute(_TRIALS).fetchall()
                attributes = connection.execute(_ATTRIBUTES).fetchall()
        except sqlite3.DatabaseError as error:
            return Study([], Counter(), [f"study.db does not open: {error}"])
    study = study_of(trials, attributes)
    study.problems += [] if verdict == "ok" else [f"study.db: {verdict}"]
    return study


def study_of(trials: Sequence[tuple[int, str]], attributes: Sequence[tuple[int, str, str]]) -> Study:
    """From the rows of a study's tables, whatever database holds them."""
    states = dict(trials)
    records, problems = [], []
    for trial, key, text in attributes:
        if key != "record":
            continue
        record = json.loads(text)
        records.append(record)
        if states[trial] not in ("RUNNING", _STATES[record["state"]]):  # running: killed between two commits
            problems.append(f"trial {record['number']} is {record['state']}; the study has {states[trial]}")
    return Study(records, Counter(states.values()), problems)


def _read_lines(path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """The whole lines, and what a kill has left of another."""
    if not path.exists():
        return [], b""
    *lines, torn = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines], torn


def _unique(records: Sequence[dict[str, Any]], place: str, problems: list[str]) -> dict[int, dict[str, Any]]:
    counts = Counter(record["number"] for record in records)
    problems += [f"trial {number} is {n} times in {place}" for number, n in counts.items() if n > 1]
    return {record["number"]: record for record in records}


def _trained_twice(records: Mapping[int, dict[str, Any]]) -> list[str]:
    """A policy is tried once; its repeats follow a score of it, each with a seed of its own."""
    problems = []
    for policy, trials in _by_policy(records.values()).items():
        first, *others = trials
        if first["origin"] == "repeat":
            problems.append(f"trial {first['number']} repeats the policy {policy} that nobody has tried")
        new = [first["number"], *(trial["number"] for trial in others if trial["origin"] != "repeat")]
        if len(new) > 1:
            problems.append(f"{len(new)} trials have the policy {policy}")
        if others and first["state"] != "complete":
            problems.append(f"the policy {policy} is repeated without a score")
        seeds = Counter(trial["seed"] for trial in trials)
        problems += [f"{n} trials have the policy {policy} and seed {s}" for s, n in seeds.items() if n > 1]
    return problems


def _by_policy(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Policy and width -> its trials, in the order of numbers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: record["number"]):
        policy = json.dumps([record["policy"], record.get("width")], sort_keys=True)
        found.setdefault(policy, []).append(record)
    return found


def _weights_of_front(folder: Path, stored: Mapping[int, dict[str, Any]], *, is_over: bool) -> list[str]:
    """Weights that are there must be whole, and those of the front must be there.

    A policy counts once, under its first number and with its mean score. What a mean has brought back onto
    the front, having been beaten while other means were higher or its own lower, is trained again for its
    weights at the end of the search: until then it may lack them.
    """
    weights = [path for path in _kept_weights(folder) if int(path.stem) in stored]
    problems = [f"{path.name}: {wrong}" for path in weights if (wrong := _broken_weights(path))]
    scored = [record for record in stored.values() if record["state"] == "complete"]
    points = {trials[0]["number"]: _points_over_time(trials) for trials in _by_policy(scored).values()}
    for number, own in points.items():
        others = [other for n, other in points.items() if n != number]
        is_beaten = any(_beats(other[-1], own[-1]) for other in others)
        was_beaten = any(_beats(theirs, mine) for other in others for theirs in other for mine in own)
        is_missing = not (folder / "checkpoints" / f"{number}.safetensors").exists()
        if is_missing and not is_beaten and (is_over or not was_beaten):
            problems.append(f"the weights of trial {number}, on the front, are missing")
    return problems


def _points_over_time(trials: Sequence[dict[str, Any]]) -> list[tuple[float, ...]]:
    """Of one policy's trials with a score: its point after the first of them, after two, and so on."""
    scores = [trial["score"] for trial in trials]
    return [_point({**trials[0], "score": fmean(scores[:count])}) for count in range(1, len(scores) + 1)]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _kept_weights(folder: Path) -> list[Path]:
    return list((folder / "checkpoints").glob("[0-9]*.safetensors"))


def _point(record: Mapping[str, Any]) -> tuple[float, ...]:
    return tuple(sign * value(record) for value, sign in _OBJECTIVES.values())


def _broken_weights(path: Path) -> str:
    """A safetensors file: eight bytes of length, a JSON header of that length, then all that it names."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
    except ValueError as error:
        return f"no header: {error}"
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    expected = 8 + length + max(ends, default=0)
    return "" if len(content) == expected else f"{len(content)} bytes, {expected} were announced"


def _left_open(
    folder: Path, study: Study, stored: Mapping[int, Any], written: Mapping[int, Any], total: int
) -> list[str]:
    """What a search that came to its end may not leave behind."""
    problems = []
    if sorted(stored) != list(range(total)):
        problems.append(f"the study has trials {sorted(stored)}; {total} were asked for")
    if stored.keys() != written.keys():
        problems.append(f"the study and trials.jsonl differ by {sorted(stored.keys() ^ written.keys())}")
    if study.states["RUNNING"]:
        problems.append(f"{study.states['RUNNING']} trials are still running in the study")
    parts = [path.name for path in folder.rglob("*") if ".part" in path.suffixes or path.suffix == ".part"]
    if parts:
        problems.append(f"half-written files are left: {parts}")
    journals = [path.name for path in folder.glob("study.db-*")]
    if journals:
        problems.append(f"the study's journal was not folded back: {journals}")
    with (folder / "front.csv").open(newline="") as file:
        front = {int(row["number"]) for row in csv.DictReader(file)}
    kept = {int(path.stem) for path in _kept_weights(folder)}
    if kept != front:
        problems.append(f"weights of trials {sorted(kept)} are kept; the front is {sorted(front)}")
    tested = {int(n) for n in json.loads((folder / "run.json").read_text())["test_scores"]}
    if tested != front:
        problems.append(f"trials {sorted(tested)} have test scores; the front is {sorted(front)}")
    return problems
