"""`loss`: how much the validation loss grows when one choice alone is lowered, and nothing is trained."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn

from mpsearch.errors import TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.swap import calibrate
from mpsearch.training.device import device_of, seeded, trial_device
from mpsearch.training.evaluate import evaluate
from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.student import folded, new_student
from mpsearch.training.trial import baseline_model
from mpsearch.training.trial_data import inputs_of


def one_layer_losses(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    """added[c][s] = max(0, L(choice c at scheme s, all others at their highest) - L(all at their highest)).

    L is the task's loss on validation samples after calibration, BatchNorm re-estimated: that of a trial of
    share 0. A lowering whose loss is not finite counts as the worst that is.

    Raises: TrialError if the loss of the highest policy is not finite; as `quantize_model` and `evaluate`.
    """
    device = trial_device(probe.recipe.device)
    lowered = probe.lowered()
    total = len(lowered) + 1
    with seeded(probe.seed, device):
        teacher = baseline_model(probe.task, probe.baseline).to(device)
        on_progress(0, total, "all at their highest")
        highest = finite_highest(_loss(probe, teacher, probe.policy(probe.highest)))
        losses = []
        for done, (place, code, policy) in enumerate(lowered, start=1):
            choice = probe.choices[place]
            on_progress(done, total, f"{choice.name} at {choice.schemes[code]}")
            losses.append(_loss(probe, teacher, policy))
    on_progress(total, total, "")
    return added_over(probe, highest, losses)


def finite_highest(loss: float) -> float:
    """The loss of the highest policy, as it is. Raises: TrialError if it is not finite."""
    if not math.isfinite(loss):
        raise TrialError(
            f"The loss with every layer at its highest scheme must be finite; got {loss}. Allow "
            "a higher scheme, or search with `sensitivity: none`."
        )
    return loss


def added_over(probe: SensitivityProbe, highest: float, losses: list[float]) -> Added:
    """The losses of `probe.lowered()` as what they add to that of the highest policy."""
    worst = max((loss for loss in losses if math.isfinite(loss)), default=highest + 1)
    added = tuple(np.zeros(len(choice.schemes)) for choice in probe.choices)
    for (place, code, _), loss in zip(probe.lowered(), losses, strict=True):
        added[place][code] = max(0.0, (loss if math.isfinite(loss) else worst) - highest)
    return added


def _loss(probe: SensitivityProbe, teacher: nn.Module, policy: PrecisionPolicy) -> float:
    device = trial_device(probe.recipe.device)
    if policy.is_full_precision:
        # Re-estimated as all that it is compared with: its own statistics would add a constant to these.
        return _re_estimated_loss(probe, copy.deepcopy(teacher))
    source = teacher
    if probe.recipe.fold_batch_norm:
        trace = probe.baseline.memory.traced(teacher, probe.task.example_inputs)
        source = folded(teacher, policy, trace)
    student = new_student(source, policy, probe.recipe)
    try:
        with torch.no_grad():
            calibrate(student, inputs_of(probe.calibration, device))
    except TrialError:  # an input of a layer is not finite
        return math.nan
    return _re_estimated_loss(probe, student)


def _re_estimated_loss(probe: SensitivityProbe, model: nn.Module) -> float:
    if probe.statistics is not None:
        reestimate_batch_norm(model, inputs_of(probe.statistics, device_of(model)))
    return evaluate(model, probe.validation, probe.task)[1]
