"""The score and the loss of a model on a split."""

from __future__ import annotations

import torch
from torch import nn

from mpsearch.errors import TaskError
from mpsearch.training.layout import as_model_input
from mpsearch.training.split import Split
from mpsearch.training.task import Task


def evaluate(model: nn.Module, split: Split, task: Task, *, batch_size: int = 500) -> tuple[float, float]:
    """(score, loss): the means of the task's metric and loss over every sample, in 32 bits, in eval mode.

    Raises: TaskError if the metric does not give one score per sample.
    """
    was_training = model.training
    model.eval()
    score_sum = loss_sum = 0.0
    score_count = 0
    with torch.inference_mode():
        for inputs, targets in split.batches(batch_size):
            output = model(as_model_input(inputs))
            scores = task.metric(output, targets)
            if not isinstance(scores, torch.Tensor) or scores.ndim == 0 or len(scores) != len(targets):
                raise TaskError(
                    f"The metric of task {task.name!r} must return a tensor with one score per sample; got "
                    f"{_describe(scores)} for {len(targets)} samples. Return e.g. (output.argmax(1) == targets)."
                )
            score_sum += float(scores.double().sum())
            score_count += scores.numel()
            loss_sum += float(task.loss(output, targets)) * len(targets)
    model.train(was_training)
    return score_sum / score_count, loss_sum / len(split)


def _describe(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
