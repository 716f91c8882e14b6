"""The loss of a trial: the task's own, and what the 32-bit model teaches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpsearch.training.class_axis import class_axis
from mpsearch.training.distillation import TeacherMemory, distillation_loss
from mpsearch.training.feature_distillation import FeatureDistance
from mpsearch.training.loop import reduced_precision
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialLoss:
    """(1 - d) * task loss + d * distillation, plus the recipe's weight times the distance of features.

    `features` looks at the last call of the student and of the teacher. `seed` is that of the batches: a
    step names its batch with it and the recipe.
    """

    task: Task
    recipe: TrialRecipe
    teacher: nn.Module
    memory: TeacherMemory
    seed: int

    def __call__(
        self,
        step: int,
        output: Tensor,
        inputs: Tensor,
        targets: Tensor,
        *,
        features: FeatureDistance | None = None,
    ) -> Tensor:
        """For the batch of that step, counted over the whole trial."""
        share = self.recipe.distillation_weight
        loss = self.task.loss(output, targets) if share < 1 else output.new_zeros(())
        if features is None and share == 0:
            return loss
        taught = self.taught(step, inputs, is_watched=features is not None)
        if share > 0:
            axis = class_axis(output, targets, self.task.loss)
            student, teacher = (
                logits if axis is None else logits.movedim(axis, -1) for logits in (output, taught)
            )
            from_teacher = distillation_loss(student, teacher, temperature=self.recipe.temperature)
            loss = share * from_teacher + (1 - share) * loss if share < 1 else from_teacher
        return loss if features is None else loss + self.recipe.feature_distillation * features()

    def taught(self, step: int, inputs: Tensor, *, is_watched: bool = False) -> Tensor:
        """What the 32-bit model says of that step's batch; run anew where `features` watch it."""
        recipe = self.recipe
        with torch.no_grad(), reduced_precision(enabled=recipe.bfloat16, device=inputs.device):
            if is_watched:  # features are too large to be kept
                taught: Tensor = self.teacher(inputs).float()
                return taught
            batches = (
                self.seed,
                recipe.batch_size,
                float(inputs.sum()) if recipe.augment else None,  # a user's `augment` may draw as it likes
                recipe.calibration_samples,
                recipe.bn_samples,
            )
            key = (step, recipe.bfloat16, inputs.device.type, *batches)
            return self.memory.output(key, self.teacher, inputs)
