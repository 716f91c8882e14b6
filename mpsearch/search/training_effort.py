"""What a training takes, known before it: not measured, so that a seed reproduces a search exactly."""

from __future__ import annotations

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.recipe import TrialRecipe

_FORWARD = 1 / 3  # of an optimizer step: its backward pass takes twice its forward pass


def training_effort(recipe: TrialRecipe, policy: PrecisionPolicy, share: float, *, samples: int) -> float:
    """Optimizer steps for `share` of the recipe, and what is around them: calibration, BatchNorm, the score.

    steps + forward * (calibration + BatchNorm + `samples` of the validation split) / batch size

    Scores are taken twice where steps are trained: the better of calibrated and fine-tuned counts.
    """
    steps = recipe.steps_for(policy, share)
    seen = recipe.calibration_samples + recipe.bn_samples + (2 if steps else 1) * samples
    return steps + _FORWARD * seen / recipe.batch_size
