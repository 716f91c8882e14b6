"""Files that are either whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpsearch.errors import StorageError

_NEXT_STEP = {
    errno.ENOSPC: "Free some space; the search goes on where it was.",
    errno.EDQUOT: "Free some space; the search goes on where it was.",
    errno.EROFS: "Choose another folder with --out.",
    errno.EACCES: "Choose another folder with --out, or change its permissions.",
    errno.EPERM: "Choose another folder with --out, or change its permissions.",
}


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into a StorageError with the next step."""
    try:
        yield
    except OSError as error:
        step = _NEXT_STEP.get(error.errno or 0, "Check the disk, or choose another folder with --out.")
        raise StorageError(f"{path} must be writable; got: {error.strerror or error}. {step}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, rename it.

    Raises: StorageError if the disk is full or the folder cannot be written.
    """
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)  # mkstemp makes it private; a run folder is meant to be shared
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def append_line(path: Path, line: str) -> None:
    """Add one line and flush it to the disk.

    Raises: StorageError if the disk is full or the file cannot be written.
    """
    with storing(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
