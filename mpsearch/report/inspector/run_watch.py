"""Following a run folder while a search writes to it: cheap to ask, deaf to half-written files."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mpsearch.errors import FormatError, MpsearchError
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.run import Exporter, Run, load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.searching import is_searching
from mpsearch.search.stored_json import parsed_json
from mpsearch.search.trial_record import TrialRecord

_BEGUN_TRIALS = """
    SELECT COUNT(*) FROM trials WHERE state = 'RUNNING' AND trial_id NOT IN
    (SELECT trial_id FROM trial_user_attributes WHERE key = 'record')
"""
_PATIENCE_S = 0.2  # a database that is busy for longer is asked again at the next look

Mark = tuple[int, int, int] | None  # (inode, size, time of the last change) of a file, None without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at the folder found.

    `run` is None where nothing has changed. `problem` says why the folder cannot be read now; the last run
    that could be read still holds then. `running` counts trials that have begun and not ended, while a
    process searches.
    """

    run: Run | None
    is_searching: bool
    running: int
    problem: str | None = None


class RunWatch:
    """Looks at a run folder again and again; one thread at a time may call `look`.

    What a search adds to trials.jsonl is read from where the last look ended. Any other change (budgets, test
    scores, measured latencies, a run begun anew) reads the run as a whole.
    """

    def __init__(self, run: Run, exporter: Exporter | None = None) -> None:
        self._folder = RunFolder(run.path)
        self._exporter = exporter
        self._run = run
        # Trials may have ended while the run was read: what came since is read again, and told once.
        self._whole: tuple[Mark, ...] = ()
        self._lines: Mark = None
        self._read_bytes = 0
        self._is_broken = False

    def look(self) -> Sight:
        """What is new. Never raises for what the folder holds; see `Sight.problem`."""
        try:
            run = self._news()
        except (MpsearchError, OSError) as error:
            self._is_broken = True
            gone = not self._folder.path.exists()
            problem = f"{self._folder.path} is gone" if gone else str(error)
            return Sight(run=None, is_searching=False, running=0, problem=problem)
        self._is_broken = False
        goes_on = is_searching(self._folder.path)
        running = begun_trials(self._folder.database) if goes_on else 0
        return Sight(run=run, is_searching=goes_on, running=running)

    def _news(self) -> Run | None:
        folder = self._folder
        whole = tuple(
            _mark(path)
            for path in (folder.facts_file, folder.space_file, folder.profile_file, folder.measured_file)
        )
        lines = _mark(folder.trials_file)
        if (whole, lines) == (self._whole, self._lines) and not self._is_broken:
            return None
        grown = (
            whole == self._whole
            and not self._is_broken
            and lines is not None
            and self._lines is not None
            and lines[0] == self._lines[0]
            and lines[1] > self._read_bytes
        )
        if grown:
            found = self._grown_run()
        else:
            # The place in trials.jsonl comes first: what is added meanwhile is read twice, not never.
            end = _last_line_end(folder.trials_file)
            found = load_run(folder.path, exporter=self._exporter)
            self._read_bytes = end
        is_first = not self._whole
        self._whole, self._lines = whole, lines
        if is_first and _says_the_same(found, self._run):
            return None
        self._run = found
        return found

    def _grown_run(self) -> Run:
        with self._folder.trials_file.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]  # the last line may be half-written
        self._read_bytes += len(complete)
        records = {record.number: record for record in self._run.trainings}
        for line in complete.decode(errors="replace").split("\n"):
            with suppress(ValueError, FormatError):
                record = TrialRecord.from_dict(parsed_json(line))
                records[record.number] = replace(record, feasible=self._run.space.admits(record))
        return replace(self._run, records=pooled(records.values()))


def begun_trials(database: Path) -> int:
    """Trials that were begun and have not ended; 0 where the database cannot tell now."""
    if not database.exists():
        return 0
    with suppress(sqlite3.Error):
        uri = f"{database.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S)) as connection:
            return int(connection.execute(_BEGUN_TRIALS).fetchone()[0])
    return 0


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _last_line_end(path: Path) -> int:
    if not path.exists():
        return 0
    return path.read_bytes().rfind(b"\n") + 1


def _says_the_same(one: Run, other: Run) -> bool:
    return (
        one.records == other.records
        and one.test_scores == other.test_scores
        and one.measured == other.measured
        and one.space == other.space
    )
