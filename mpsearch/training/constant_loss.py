"""The loss of a model that looks at nothing: what stands for a loss that counts for nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.errors import TaskError
from mpsearch.training.device import device_of
from mpsearch.training.layout import as_model_input
from mpsearch.training.task import Task

_BATCH = 500


def constant_loss(model: nn.Module, task: Task) -> float:
    """The task's loss on the validation split if every sample got the model's mean output.

    For cross-entropy 1 - loss / constant loss is McFadden's pseudo R^2, for a squared error R^2.

    Raises: TaskError if the model returns no tensor, or that loss is not a finite number above 0.
    """
    was_training, device = model.training, device_of(model)
    model.eval()
    total: Tensor | None = None
    loss_sum = 0.0
    try:
        with torch.no_grad():
            for inputs, _ in task.validation.batches(_BATCH):
                output = model(as_model_input(inputs.to(device)))
                if not isinstance(output, Tensor):
                    raise TaskError(
                        "Loss as an objective needs a model that returns one tensor; that of task "
                        f"{task.name!r} returns a {type(output).__name__}. Search for accuracy instead."
                    )
                part = output.sum(0, dtype=torch.float64)
                total = part if total is None else total + part
            assert total is not None  # a split is never empty
            mean = (total / len(task.validation)).to(torch.float32)
            for _, targets in task.validation.batches(_BATCH):
                answer = mean.expand(len(targets), *mean.shape)
                loss_sum += float(task.loss(answer, targets.to(device))) * len(targets)
    finally:
        model.train(was_training)
    loss = loss_sum / len(task.validation)
    if not 0 < loss < float("inf"):
        raise TaskError(
            f"Loss as an objective needs one that is above 0 where a model answers every sample alike; task "
            f"{task.name!r} gives {loss:.4g}. Search for accuracy instead."
        )
    return loss
