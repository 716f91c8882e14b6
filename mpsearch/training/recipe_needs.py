"""What a recipe needs of the task and of its model."""

from __future__ import annotations

from mpsearch.errors import ConfigError
from mpsearch.models.graph import ModelGraph
from mpsearch.models.model_trace import ModelTrace
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task


def require_needs(recipe: TrialRecipe, task: Task, trace: ModelTrace) -> None:
    """Raises: ConfigError if the recipe switches on what there is nothing for."""
    if recipe.augment and task.augment is None:
        raise ConfigError(
            f"`augment` needs a task that says how its inputs vary; task {task.name!r} does not. Write "
            "`augment: false`, or give its Task an `augment`."
        )
    if recipe.fold_batch_norm:
        graph_to_fold(trace)


def graph_to_fold(trace: ModelTrace) -> ModelGraph:
    """Raises: ConfigError if the model has no graph."""
    if trace.graph is None:
        raise ConfigError(
            "`fold_batch_norm` needs the model's graph, to know what each BatchNorm follows; there is none: "
            f"{'; '.join(trace.eager_reasons):.300}. Write `fold_batch_norm: false`."
        )
    return trace.graph
