"""Names of tasks that lie in a file of the user's own, `path/to/file.py:function`, in files that may move."""

from __future__ import annotations

import os
from pathlib import Path


def is_in_file(name: str) -> bool:
    """Whether the name is `path/to/file.py:function`, not a built-in task or `package.module:function`."""
    return name.rpartition(":")[0].endswith(".py")


def located(name: str, *folders: Path) -> str:
    """The name with its file's full path, looked for in each folder in turn; any other name as it is.

    A file that is in none of them is taken to be missing from the first: what loads the task says so.
    """
    if not is_in_file(name):
        return name
    file, _, function = name.rpartition(":")
    try:
        places = [(folder / Path(file).expanduser()).resolve() for folder in folders]
        place = next((place for place in places if place.is_file()), places[0])
    except (OSError, RuntimeError, ValueError):  # a name too long, with a null byte, or of an unknown user
        return name
    return f"{place}:{function}"


def relative_to(folder: Path, name: str) -> str:
    """The name as a file in `folder` holds it: by the way from there to the task's file.

    So the two can be moved or copied together, to another machine too. Where they share nothing but the root
    of the file system, the full path stays.
    """
    if not is_in_file(name):
        return name
    file, _, function = name.rpartition(":")
    try:
        target, start = Path(file).expanduser().resolve(), folder.resolve()
    except (OSError, RuntimeError, ValueError):  # as in `located`
        return name
    shared = os.path.commonpath([target, start])
    return f"{target if shared == target.anchor else os.path.relpath(target, start)}:{function}"


def without_folder(name: str) -> str:
    """`file.py:function`: what stays of the name when files move; any other name as it is."""
    return name.rpartition("/")[2] if is_in_file(name) else name
