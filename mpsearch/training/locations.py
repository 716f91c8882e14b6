"""Where data and cached files lie: the one place of the package that reads these environment variables.

MPSEARCH_CACHE  folder for what is expensive to make again: trained 32-bit baselines, decoded images.
                Default: `~/.cache/mpsearch`. Deleting it loses time, never results.
MPSEARCH_DATA   folder with one sub-folder a data set (`cifar10/`). No default.
"""

from __future__ import annotations

import os
from pathlib import Path

from mpsearch.errors import DataError


def cache_dir() -> Path:
    """The cache folder; it need not exist yet."""
    chosen = os.environ.get("MPSEARCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "mpsearch"


def data_dir() -> Path | None:
    """The folder of data sets, or None where MPSEARCH_DATA is not set."""
    chosen = os.environ.get("MPSEARCH_DATA")
    return Path(chosen).expanduser() if chosen else None


def data_set_folder(chosen: str | None, name: str, *, what: str, files: str = "the files") -> Path:
    """The folder that a task was given, else `name` in the folder of data sets.

    `what` begins the message where there is neither: whose data, with its verb.

    Raises: DataError if neither is set.
    """
    if chosen is not None:
        return Path(chosen).expanduser()
    folder = data_dir()
    if folder is None:
        raise DataError(
            f"{what} a folder of data; none is set. Set MPSEARCH_DATA to the folder that holds `{name}/`, or "
            f"the task argument `data` to the folder of {files}."
        )
    return folder / name
