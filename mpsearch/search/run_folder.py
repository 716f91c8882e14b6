"""Where a run keeps its files, and who may write them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import append_line, parts_in, regular_content, storing, write_atomically
from mpsearch.errors import FormatError, RunError
from mpsearch.search.measured import MeasuredLatency, measured_line
from mpsearch.search.stored_json import parsed_json
from mpsearch.search.stored_records import read_records
from mpsearch.search.trial_record import RECORD_SCHEMA, TrialRecord

_START_OF_A_LINE = re.compile(rf'{{"schema": {RECORD_SCHEMA}, "number": (\d{{1,9}}), ')
_LOCK_WAITS_S = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """runs/NAME.

    space.yaml     the space as used, every default filled in; budgets, overrides and trials of the last call
    profile.json   the hardware profile as used
    profiles/      NAME.json: those of further devices; not there where there is one profile
    run.json       what the search found before its first trial: model, baseline, greatest costs; test scores
    study.db       the truth: every trial, as an Optuna study (SQLite); or, where several drivers share one
    study.json     where the study lies, without passwords
    trials.jsonl   the finished trials again, one JSON object a line, for other programs
    front.csv      the front
    sensitivity.json how much each layer loses at few bits, by each method that was asked; may not be there
    measured.jsonl latencies that `mpsearch bench RUN` measured, one JSON object a line; not there before
    checkpoints/   NUMBER.safetensors: the weights of the trials on the front
    log.txt        what happened, with times
    lock           held by the process that searches
    """

    path: Path

    @property
    def space_file(self) -> Path:
        return self.path / "space.yaml"

    @property
    def profile_file(self) -> Path:
        return self.path / "profile.json"

    @property
    def device_profiles(self) -> Path:
        return self.path / "profiles"

    def device_profile_file(self, device: str) -> Path:
        return self.device_profiles / f"{device}.json"

    @property
    def facts_file(self) -> Path:
        return self.path / "run.json"

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def study_file(self) -> Path:
        return self.path / "study.json"

    @property
    def trials_file(self) -> Path:
        return self.path / "trials.jsonl"

    @property
    def front_file(self) -> Path:
        return self.path / "front.csv"

    @property
    def measured_file(self) -> Path:
        return self.path / "measured.jsonl"

    @property
    def sensitivity_file(self) -> Path:
        return self.path / "sensitivity.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def checkpoint(self, number: int) -> Path:
        return self.checkpoints / f"{number}.safetensors"

    @property
    def exists(self) -> bool:
        """Whether a search has begun here: run.json is the last file written before the first trial."""
        return self.facts_file.exists()

    @property
    def has_begun(self) -> bool:
        """Whether a search was begun here, though it may have ended before its first trial."""
        return self.exists or self.profile_file.exists()

    def create(self) -> frozenset[Path]:
        """Make the folder, or accept one that is empty or holds a run; returns what was there before.

        Raises: RunError if it holds other files; StorageError if it cannot be made.
        """
        with storing(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"A run needs a folder; {self.path} is a file. Choose another --out.")
            found = {self.path, *self.path.iterdir()} if self.path.exists() else set()
            known = {
                self.checkpoints.name,
                self.lock_file.name,
                self.profile_file.name,
                self.device_profiles.name,
                self.log_file.name,
                self.space_file.name,
                self.study_file.name,
            }
            known |= {part.name for part in parts_in(self.path)} if found else set()
            strangers = [entry.name for entry in found - {self.path} if entry.name not in known]
            if strangers and not self.exists:
                raise RunError(
                    f"A run needs an empty folder or that of a run; {self.path} holds {min(strangers)!r}. "
                    "Choose another --out."
                )
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        return frozenset(found)

    def discard(self, *, but: Collection[Path]) -> None:
        """Remove what a search that was refused before it began has left. Only the holder of the lock may.

        `but` is what `create` returned.
        """
        with suppress(OSError):  # what cannot be removed may stay: another search can begin here all the same
            for path in {self.log_file, *parts_in(self.path)}.difference(but):
                path.unlink(missing_ok=True)
            if self.lock_file not in but:
                self.lock_file.unlink()
            for folder in (self.checkpoints, self.path):
                if folder not in but:
                    folder.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that searches here. The system frees the lock of a process that is killed.

        Raises: RunError with the process that holds it; StorageError if it cannot be made.
        """
        with storing(self.lock_file):
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                _lock(handle)
            except BlockingIOError:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                raise RunError(
                    f"One process at a time may search in {self.path}; process {holder} does. Wait for "
                    "it, stop it, or choose another --out. `mpsearch pareto` reads a run while it goes on."
                ) from None
            if not _is_at(self.lock_file, handle):
                raise RunError(
                    f"One process at a time may search in {self.path}; another just gave it up. Give the "
                    "command again."
                )
            with storing(self.lock_file):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    def append_record(self, record: TrialRecord) -> None:
        append_line(self.trials_file, record_line(record))

    def append_measured(self, measured: MeasuredLatency) -> None:
        append_line(self.measured_file, measured_line(measured))

    def rewrite_records(self, records: Iterable[TrialRecord]) -> None:
        """Make trials.jsonl say what the study says, if it does not yet."""
        text = "".join(record_line(record) + "\n" for record in records)
        if not self.trials_file.exists() or regular_content(self.trials_file) != text.encode():
            write_atomically(self.trials_file, text)

    def written_records(self, *, but: Collection[int] = ()) -> dict[int, TrialRecord]:
        """Number -> record, from trials.jsonl as far as it can be read: a kill may have torn a line.

        Trials of the numbers in `but` are left out, unread: ten thousand lines take half a second.

        Raises: FormatError if a line is of a newer schema.
        """
        records = {}
        text = regular_content(self.trials_file).decode(errors="replace") if self.trials_file.exists() else ""
        for line in text.split("\n"):  # a reason may hold what `splitlines` takes for the end of a line
            start = _START_OF_A_LINE.match(line)
            if start is not None and int(start[1]) in but:
                continue
            with suppress(ValueError):
                fields = parsed_json(line)
                try:
                    record = TrialRecord.from_dict(fields)
                except FormatError as error:
                    if _is_newer(fields):
                        raise FormatError(f"{self.trials_file}: {error}") from error
                else:
                    records[record.number] = record
        return records

    def read_records(self) -> list[TrialRecord]:
        """All finished trials, by number: the study's, and what a power cut took from it (see `StudyStore`).

        Raises: FormatError if the study is truncated or corrupt, or a trial of a newer schema.
        """
        stored = read_records(self.database) if self.database.exists() else []
        known = {record.number: record for record in stored}
        merged = {**self.written_records(but=known), **known}
        return [merged[number] for number in sorted(merged)]

    def write_json(self, path: Path, document: Any) -> None:
        write_atomically(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def read_json(self, path: Path, *, schema: int) -> dict[str, Any]:
        """A JSON object of that `schema`.

        Raises: FormatError if it is missing, truncated, no object, or of another schema.
        """
        try:
            document = parsed_json(_read(path))
        except ValueError as error:
            raise FormatError(
                f"{path} must be JSON; got: {error}. Restore it, or search in another folder."
            ) from error
        found = document.get("schema") if isinstance(document, dict) else None
        if not isinstance(found, int) or found < 1:
            raise FormatError(
                f"{path} must be a JSON object with a whole number as `schema`; got {found!r:.40}."
            )
        if found != schema:
            raise FormatError(
                f"{path} has schema {found}; this mpsearch reads {schema}. Use the mpsearch that made it"
                + (", or search again." if found < schema else ".")
            )
        result: dict[str, Any] = document
        return result


def _is_newer(fields: Any) -> bool:
    schema = fields.get("schema") if isinstance(fields, dict) else None
    return isinstance(schema, int) and schema > RECORD_SCHEMA


def record_line(record: TrialRecord) -> str:
    return json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False)


def _lock(handle: int) -> None:
    """Raises: BlockingIOError if another process keeps it; who asks `is_searching` holds it for a moment."""
    for wait_s in (*_LOCK_WAITS_S, None):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait_s is None:
                raise
            time.sleep(wait_s)
        else:
            return


def _is_at(path: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name: `RunFolder.discard` may have come first."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), path.stat())
    return False


def _read(path: Path) -> str:
    try:
        return regular_content(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} must be a readable text file; got: {error}.") from error
