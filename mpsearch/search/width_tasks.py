"""The task at each width of its model: one set of data, several models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mpsearch.errors import ConfigError
from mpsearch.search.space import SearchSpace
from mpsearch.training.baseline import Baseline
from mpsearch.training.task import Task, load_task

# By width, the reference first; a space without widths has one, under None.
Tasks = Mapping[float | None, Task]
Baselines = Mapping[float | None, Baseline]


def load_tasks(space: SearchSpace, task: Task | None = None) -> Tasks:
    """The space's task at each of its widths; `task` in its place, for a space without widths.

    All of them share the splits of the reference: widths change the model only.

    Raises: ConfigError if widths are asked of a task that is an object, or its function takes no such
    argument; as `load_task`.
    """
    if space.widths is None:
        return {None: task or load_task(space.task.name, space.task.args)}
    if task is not None:
        raise ConfigError(
            f"Widths need a task by name, which can be made at each of them; got widths {space.widths} and "
            f"the task {task.name!r} as an object. Name its function, or leave `widths` out."
        )
    reference = space.widths.reference
    first = task_at_width(space, reference)
    tasks: dict[float | None, Task] = {reference: first}
    for width in space.widths.options:
        if width != reference:
            made = task_at_width(space, width)
            tasks[width] = replace(made, train=first.train, validation=first.validation, test=first.test)
    return tasks


def task_at_width(space: SearchSpace, width: float | None) -> Task:
    """The space's task with the model of that width; the task as it is for None.

    Raises: as `load_task`.
    """
    reference = space.task_at(width)
    return load_task(reference.name, reference.args)
