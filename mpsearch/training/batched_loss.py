"""The losses of several students on one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mpsearch.training.trial_loss import TrialLoss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchedLoss:
    """`TrialLoss` of each student, in one computation where the task's loss is PyTorch's cross entropy."""

    one: TrialLoss

    def __call__(self, step: int, outputs: Tensor, inputs: Tensor, targets: Tensor, count: int) -> Tensor:
        """The loss of each of `count` students.

        Shape: outputs (count * N, *), of one student after the other; inputs and targets (N, *) -> (count,).
        """
        recipe = self.one.recipe
        is_known = self.one.task.loss is F.cross_entropy and outputs.ndim == 2 and targets.ndim == 1
        # Below 0 is no class: cross entropy leaves those samples out of its mean.
        if not is_known or targets.is_floating_point() or bool((targets < 0).any()):
            parts = outputs.chunk(count)
            return torch.stack([self.one(step, output, inputs, targets) for output in parts])
        share = recipe.distillation_weight
        loss = outputs.new_zeros(count)
        if share < 1:
            by_sample = F.cross_entropy(outputs, targets.repeat(count), reduction="none")
            loss = by_sample.view(count, -1).mean(1)
        if share == 0:
            return loss
        log_teacher = F.log_softmax(self.one.taught(step, inputs) / recipe.temperature, dim=1)
        log_student = F.log_softmax(outputs / recipe.temperature, dim=1).view(count, *log_teacher.shape)
        divergence = (log_teacher.exp() * (log_teacher - log_student)).sum((1, 2)) / len(targets)
        from_teacher = recipe.temperature**2 * divergence
        # 0 times a loss that is infinite would be NaN.
        return share * from_teacher + (1 - share) * loss if share < 1 else from_teacher
