"""Reading a study's database without Optuna, and saying what is wrong with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpsearch.errors import FormatError, StorageError
from mpsearch.search.stored_json import parsed_json
from mpsearch.search.trial_record import TrialRecord

RECORD = "record"  # the user attribute of a trial that holds its record
BEGUN = "begun"  # that which holds its number and origin
LOCK_TIMEOUT_S = 60
_CORRUPT = (
    "malformed", "not a database", "corrupt", "no such table", "no such column", "constraint failed",
    "could not decode", "has no column",
)  # fmt: skip


def require_sound(path: Path) -> None:
    """Check the database's structure, if it is there.

    Raises: FormatError if it is truncated or corrupt, or would compute what it is asked for.
    """
    if not path.exists():
        return
    try:
        with _connected(path) as connection:
            _require_plain_tables(connection, path)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, ValueError) as error:
        raise translated(error, path) from error
    if verdict != "ok":
        raise _corrupt(path, verdict)


def read_records(path: Path) -> list[TrialRecord]:
    """The finished trials of a study, by number, without Optuna: a search may be writing to it meanwhile.

    Raises: FormatError if the database is truncated, corrupt or not a study.
    """
    require_sound(path)
    try:
        with _connected(path) as connection:
            query = "SELECT value_json FROM trial_user_attributes WHERE key = ?"
            rows = connection.execute(query, (RECORD,)).fetchall()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return []  # a search was killed before its first trial
        raise translated(error, path) from error
    records = []
    for (text,) in rows:
        try:
            records.append(TrialRecord.from_dict(parsed_json(text)))
        except ValueError as error:
            raise _corrupt(path, str(error)) from error
    return sorted(records, key=lambda record: record.number)


def _require_plain_tables(connection: sqlite3.Connection, path: Path) -> None:
    """A view or a computed column in the place of a table could go on for ever, or fill the memory."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        is_plain = kind in ("table", "index") and not str(sql).upper().startswith("CREATE VIRTUAL")
        if is_plain and kind == "table":
            columns = connection.execute("SELECT hidden FROM pragma_table_xinfo(?)", (name,)).fetchall()
            is_plain = not any(hidden for (hidden,) in columns)
        if not is_plain:
            raise _corrupt(path, f"{str(name)[:80]!r} is no plain table")


def read_open(path: Path) -> tuple[int, ...]:
    """The numbers of the trials that have begun and not ended.

    Raises: FormatError if the database is truncated, corrupt or not a study.
    """
    query = (
        "SELECT value_json FROM trial_user_attributes JOIN trials USING (trial_id) "
        "WHERE key = ? AND state = 'RUNNING'"
    )
    try:
        with _connected(path) as connection:
            rows = connection.execute(query, (BEGUN,)).fetchall()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return ()
        raise translated(error, path) from error
    try:
        return tuple(sorted(int(parsed_json(text)["number"]) for (text,) in rows))
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(path, str(error)) from error


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """For reading, from a read-only folder too, where SQLite cannot put the files of its WAL mode."""
    quoted = path.resolve().as_uri()
    try:
        connection = sqlite3.connect(f"{quoted}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_S)
        connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        connection = sqlite3.connect(f"{quoted}?immutable=1", uri=True)
    try:
        yield connection
    finally:
        connection.close()


def translated(error: Exception, path: Path) -> FormatError | StorageError:
    """What a database's error means. One that is no database error comes from rows that are none of ours."""
    text = f"{error} {error.__cause__ or ''}".lower()
    if isinstance(error, ValueError | LookupError | RuntimeError) or any(sign in text for sign in _CORRUPT):
        return _corrupt(path, str(error) or type(error).__name__)
    shown = str(error.__cause__ or error).splitlines()[0]
    return StorageError(
        f"{path} must be writable; got: {shown}. Free some space or check permissions; the search goes "
        "on where it was."
    )


def _corrupt(path: Path, what: str) -> FormatError:
    return FormatError(
        f"{path} must be a whole SQLite database of a search; got: {what.splitlines()[0][:200]}. Restore "
        "it from a copy, or move it away: its finished trials are read from trials.jsonl then."
    )
