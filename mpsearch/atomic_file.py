"""Files that are either whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mpsearch.errors import StorageError

PART_SUFFIX = ".part"  # of a file that is being written; a kill may leave it behind
_NAME_KEPT = 100  # letters of the file's name in that of its part: both must fit the system's limit


@contextmanager
def storing(path: Path, setting: str = "--out") -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into a StorageError with the next step.

    `setting` is what the user would change to write elsewhere.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} must be writable; got: {error.strerror or error}. {_next_step(error, setting)}"
        ) from error


@contextmanager
def whole_file(path: Path, setting: str = "--out") -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` once the block is done: flushed to the disk, renamed.

    Raises: StorageError if the disk is full or the folder cannot be written; `path` is then as it was.
    """
    part = path.with_name(f"{_start_of_parts(path)}{secrets.token_hex(4)}{PART_SUFFIX}")
    with storing(path, setting):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_atomically(path: Path, content: str | bytes, setting: str = "--out") -> None:
    """Replace the file by one with this content.

    Raises: StorageError as `whole_file`.
    """
    with whole_file(path, setting) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def append_line(path: Path, line: str) -> None:
    """Add one line and flush it to the disk.

    Raises: StorageError if the disk is full or the file cannot be written.
    """
    with storing(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def regular_content(path: Path) -> bytes:
    """What the file holds.

    Raises: OSError if it cannot be read, or is a pipe or a device, which might never end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.read_bytes()


def parts_in(folder: Path) -> list[Path]:
    """What writers that were killed have left in `folder`."""
    return [path for path in folder.iterdir() if path.name.startswith(".") and path.suffix == PART_SUFFIX]


def parts_of(path: Path) -> list[Path]:
    """What writers of that file that were killed have left beside it."""
    return [part for part in parts_in(path.parent) if part.name.startswith(_start_of_parts(path))]


def _start_of_parts(path: Path) -> str:
    return f".{path.name[:_NAME_KEPT]}."


def _next_step(error: OSError, setting: str) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"Free some space and go on with the same command, or choose another place ({setting})."
        case errno.EROFS:
            return f"Choose another place ({setting})."
        case errno.EACCES | errno.EPERM:
            return f"Choose another place ({setting}), or change its permissions."
        case errno.ENAMETOOLONG:
            return f"Choose a shorter name ({setting})."
        case _:
            return f"Check the disk, or choose another place ({setting})."
