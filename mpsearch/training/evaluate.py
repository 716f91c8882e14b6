"""The score and the loss of a model on a split."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.errors import MpsearchError, TaskError
from mpsearch.training.device import device_of
from mpsearch.training.layout import as_model_input
from mpsearch.training.split import Split
from mpsearch.training.task import Task


def evaluate(model: nn.Module, split: Split, task: Task, *, batch_size: int = 500) -> tuple[float, float]:
    """(score, loss): the means of the task's metric and loss over every sample, in 32 bits, in eval mode.

    Raises: TaskError if the model, the loss or the metric fails, or the metric gives no score per sample.
    """
    was_training, device = model.training, device_of(model)
    model.eval()
    score_sum = loss_sum = 0.0
    score_count = 0
    try:
        with torch.no_grad():  # what a model keeps in inference mode cannot be trained with
            for inputs, targets in split.batches(batch_size):
                scores, loss = _scores_and_loss(model, inputs.to(device), targets.to(device), task)
                score_sum += float(scores.sum(dtype=torch.float64))
                score_count += scores.numel()
                loss_sum += loss * len(targets)
    finally:
        model.train(was_training)
    return score_sum / score_count, loss_sum / len(split)


def _scores_and_loss(model: nn.Module, inputs: Tensor, targets: Tensor, task: Task) -> tuple[Tensor, float]:
    stage = "model"
    try:
        output = model(as_model_input(inputs))
        stage = "metric"
        scores = task.metric(output, targets)
        stage = "loss"
        loss = float(task.loss(output, targets))
    except MpsearchError:
        raise
    except Exception as error:
        raise TaskError(
            f"The {stage} of task {task.name!r} must run on inputs {tuple(inputs.shape)} with targets "
            f"{tuple(targets.shape)}; it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(scores, Tensor) or scores.ndim == 0 or len(scores) != len(targets):
        received = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise TaskError(
            f"The metric of task {task.name!r} must return a tensor with one score per sample; got "
            f"{received} for {len(targets)} samples. Return e.g. (output.argmax(-1) == targets).float()."
        )
    return scores, loss
