"""A run whose objectives change: its trials stay, and are judged anew."""

from __future__ import annotations

from mpsearch.atomic_file import storing
from mpsearch.search.run_folder import RunFolder


def begin_study_anew(folder: RunFolder) -> None:
    """Remove study.db, whose trials have values of other objectives; trials.jsonl holds all that finished.

    `StudyStore.recover` adopts them from there. What was begun and not finished begins again, and policies
    that were refused for their costs may be proposed again. A kill at any point loses no finished trial.

    Raises: FormatError if the study is truncated or corrupt; StorageError if a file cannot be written.
    """
    folder.rewrite_records(folder.read_records())
    for suffix in ("-shm", "-wal", ""):
        path = folder.database.with_name(folder.database.name + suffix)
        with storing(path):
            path.unlink(missing_ok=True)
