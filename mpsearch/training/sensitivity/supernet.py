"""`supernet`: the loss with one choice lowered, of weights that were trained for all policies at once."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme
from mpsearch.quant.annealing import anneal_quantizers
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.swap import calibrate
from mpsearch.training.device import device_of, seeded, trial_device
from mpsearch.training.distillation import TeacherMemory
from mpsearch.training.evaluate import evaluate
from mpsearch.training.loop import cosine, fit
from mpsearch.training.parameter_rules import trial_optimizer
from mpsearch.training.sensitivity.one_layer_loss import added_over, finite_highest
from mpsearch.training.sensitivity.probe import Added, OnProgress, SensitivityProbe
from mpsearch.training.sensitivity.switched_model import choose, run_all, switched_model
from mpsearch.training.trial import baseline_model
from mpsearch.training.trial_data import inputs_of, trial_data
from mpsearch.training.trial_loss import TrialLoss

TRIALS_WORTH = 12  # its steps are of three policies each: so many trials of the recipe's steps


def supernet_losses(probe: SensitivityProbe, on_progress: OnProgress) -> Added:
    """added[c][s] as `one_layer_losses` has it, of a supernet instead of the 32-bit weights.

    The layers share weights over their schemes. Each step is the mean loss of three policies on one batch: a
    random scheme for each choice, all at their lowest, all at their highest. Loss, learning rates and
    quantizers are the recipe's; what else it switches on (pruning, averages, stages) is left out.

    Source: Guo et al. 2019, arXiv:1904.00420 (uniform sampling); Yu and Huang 2019, arXiv:1903.05134 (the
        extremes in each step).
    Raises: TrialError if a loss is NaN or infinite; ConfigError if a layer cannot be quantized.
    """
    device = trial_device(probe.recipe.device)
    with seeded(probe.seed, device):
        teacher = baseline_model(probe.task, probe.baseline).to(device)
        schemes: dict[str, tuple[Scheme, ...]] = {name: (s,) for name, s in probe.pinned.items()}
        schemes |= {layer: choice.schemes for choice in probe.choices for layer in choice.layers}
        model = switched_model(teacher, schemes, probe.recipe.quantizers)
        choose(model, probe.policy(probe.highest))
        run_all(model, runs_all=True)
        calibrate(model, inputs_of(probe.calibration, device))
        run_all(model, runs_all=False)
        _train(probe, model, teacher, on_progress)
        lowered = probe.lowered()
        highest = finite_highest(_loss(probe, model, probe.policy(probe.highest)))
        losses = [_loss(probe, model, policy) for _, _, policy in lowered]
    return added_over(probe, highest, losses)


def _train(probe: SensitivityProbe, model: nn.Module, teacher: nn.Module, on_progress: OnProgress) -> None:
    recipe = probe.recipe
    steps = max(1, TRIALS_WORTH * recipe.steps // 3)
    lowest, highest = probe.policy([0] * len(probe.choices)), probe.policy(probe.highest)
    sizes = [len(choice.schemes) for choice in probe.choices]
    generator = np.random.default_rng(probe.seed)
    trial_loss = TrialLoss(
        task=probe.task, recipe=recipe, teacher=teacher, memory=TeacherMemory(), seed=probe.seed
    )

    def before_step(t: float) -> None:
        anneal_quantizers(model, t)
        choose(model, probe.policy(generator.integers(0, sizes).tolist()))

    def of_three(step: int, output: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        total = trial_loss(step, output, inputs, targets)
        for policy in (lowest, highest):
            choose(model, policy)
            total = total + trial_loss(step, model(inputs), inputs, targets)
        return total / 3

    fit(
        model,
        trial_optimizer(model, lowest, recipe),
        trial_data(probe.task, recipe, steps=steps, seed=probe.seed).batches,
        of_three,
        steps=steps,
        rate_at=cosine,
        before_step=before_step,
        on_progress=lambda done, total, loss: on_progress(done, total, f"supernet, loss {loss:.3f}"),
    )


def _loss(probe: SensitivityProbe, model: nn.Module, policy: PrecisionPolicy) -> float:
    choose(model, policy)
    if probe.tuned_statistics is not None:
        reestimate_batch_norm(model, inputs_of(probe.tuned_statistics, device_of(model)))
    return evaluate(model, probe.validation, probe.task)[1]
