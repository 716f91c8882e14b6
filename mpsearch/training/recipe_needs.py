"""What a recipe needs of the task and of its model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.errors import ConfigError, TaskError
from mpsearch.models.graph import ModelGraph
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import evaluating
from mpsearch.training.class_axis import class_axis
from mpsearch.training.layout import as_model_input
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task

_TRIED = 2  # samples


def require_needs(recipe: TrialRecipe, task: Task, model: nn.Module, trace: ModelTrace) -> None:
    """Raises: ConfigError if the recipe switches on what there is nothing for; TaskError if a model fails."""
    if recipe.augment and task.augment is None:
        raise ConfigError(
            f"`augment` needs a task that says how its inputs vary; task {task.name!r} does not. Write "
            "`augment: false`, or give its Task an `augment`."
        )
    if recipe.distillation_weight:
        _require_classes(task, model)
    if recipe.fold_batch_norm:
        graph_to_fold(trace)


def _require_classes(task: Task, model: nn.Module) -> None:
    """Raises: ConfigError unless targets are classes and outputs their logits; TaskError if a model fails."""
    targets = task.train.targets
    instead = "Write `distillation_weight: 0`; `feature_distillation` takes any model."
    if not are_classes(targets):
        raise ConfigError(
            "`distillation_weight` takes a model's outputs for logits of classes: targets must be numbers of "
            f"classes or their probabilities; those of task {task.name!r} are {targets.dtype} of shape "
            f"{tuple(targets.shape)}. {instead}"
        )
    tried = task.train.take(_TRIED)
    try:
        with torch.no_grad(), evaluating(model):
            output = model(as_model_input(tried.inputs))
    except Exception as error:
        raise TaskError(
            f"The model of task {task.name!r} must run on inputs {tuple(tried.inputs.shape)}; it raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(output, Tensor) and class_axis(output, tried.targets, task.loss) is None:
        raise ConfigError(
            "`distillation_weight` takes a model's outputs for logits of two or more classes; those of task "
            f"{task.name!r} have shape {tuple(output.shape)} for targets {tuple(tried.targets.shape)}. "
            f"{instead}"
        )


def are_classes(targets: Tensor) -> bool:
    """Whether they are whole numbers, or rows of probabilities along dimension 1.

    Shape: targets (N, *).
    """
    if not targets.is_floating_point():
        return True
    if targets.ndim < 2 or targets.shape[1] < 2 or bool((targets < 0).any()):
        return False
    sums = targets.sum(1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-2)


def graph_to_fold(trace: ModelTrace) -> ModelGraph:
    """Raises: ConfigError if the model has no graph."""
    if trace.graph is None:
        raise ConfigError(
            "`fold_batch_norm` needs the model's graph, to know what each BatchNorm follows; there is none: "
            f"{'; '.join(trace.eager_reasons):.300}. Write `fold_batch_norm: false`."
        )
    return trace.graph
