"""What a trial's model scores on the validation split as it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from mpsearch.errors import TrialError
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.training.device import device_of
from mpsearch.training.evaluate import evaluate
from mpsearch.training.split import Split
from mpsearch.training.task import Task
from mpsearch.training.trial_data import inputs_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """`state_dict` is on the processor."""

    score: float
    loss: float
    state_dict: dict[str, Tensor]


def scored(model: nn.Module, task: Task, statistics: Split | None) -> Scored:
    """Score and weights, BatchNorm re-estimated on `statistics` before, where given.

    Raises: TrialError if the loss is NaN or infinite.
    """
    if statistics is not None:
        reestimate_batch_norm(model, inputs_of(statistics, device_of(model)))
    score, loss = evaluate(model, task.validation, task)
    if not math.isfinite(loss):
        raise TrialError(
            f"The validation loss must be finite; got {loss}. Lower the learning rate, or leave the policy's "
            "lowest layers at more bits."
        )
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return Scored(score=score, loss=loss, state_dict=weights)
