"""The task that a packed model belongs to: its architecture and its validation samples."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from torch import Tensor

from mpsearch.errors import ExportError
from mpsearch.export.manifest import Manifest
from mpsearch.training.task import BUILT_IN_TASKS, IN_MEMORY, Task, load_task
from mpsearch.training.task_name import is_in_file, located, relative_to, without_folder


def trusted_task(manifest: Manifest, folder: Path, named: str | None) -> Task:
    """The manifest's task, if it is built in; else the one that the user named.

    A manifest may come from anywhere, and loading a task runs its code: a task that is not part of
    mpsearch is loaded only if the user asks for it by name.

    Raises: ExportError if the user must name it; what `load_task` raises.
    """
    if named is None and manifest.task not in BUILT_IN_TASKS:
        raise ExportError(
            f"{folder} needs the task {manifest.task!r}, which is code outside of mpsearch. If you trust it, "
            f"name it: `mpsearch bench {shlex.quote(str(folder))} --task {task_option(manifest, folder)}`."
        )
    return load_task(named or manifest.task, dict(manifest.task_args))


def task_option(manifest: Manifest, folder: Path) -> str:
    """The --task to give, from here, for the packed model in `folder`; if its file is missing, a pattern."""
    if manifest.task.endswith(IN_MEMORY):
        return "path/file.py:function"
    if not is_in_file(manifest.task):
        return shlex.quote(manifest.task)
    found = located(manifest.task, folder)
    if not Path(found.rpartition(":")[0]).is_file():
        return shlex.quote(f"PATH-TO/{without_folder(manifest.task)}")
    return shlex.quote(relative_to(Path.cwd(), found))


def validation_inputs(task: Task, samples: int) -> Tensor:
    """The first `samples` inputs of the validation split (fewer where it has fewer)."""
    return task.validation.take(samples).inputs


def inputs_sha256(inputs: Tensor) -> str:
    """A hash of the values; the memory layout does not matter."""
    return hashlib.sha256(inputs.contiguous().numpy().tobytes()).hexdigest()
