"""One trial: quantize by policy, calibrate, fine-tune for a moment, score on the validation split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mpsearch.errors import TaskError
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.training.baseline import Baseline
from mpsearch.training.device import seeded, trial_device
from mpsearch.training.evaluate import evaluate
from mpsearch.training.feature_distillation import feature_points
from mpsearch.training.fine_tuning import FineTuning
from mpsearch.training.layout import prepare_model
from mpsearch.training.loop import Progress
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.statistics_samples import trial_statistics
from mpsearch.training.student import folded, new_student
from mpsearch.training.task import Task
from mpsearch.training.trial_data import inputs_of, trial_data
from mpsearch.training.trial_loss import TrialLoss
from mpsearch.training.trial_score import scored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialResult:
    """What a trial found out.

    `score` and `loss` are those of `state_dict` on the validation split; `calibrated_score` is the score
    before fine-tuning; `curve` holds the training loss of every step. A policy of 32-bit layers only has the
    baseline's score after 0 steps.
    """

    score: float
    loss: float
    calibrated_score: float
    seconds: float
    steps: int
    curve: tuple[float, ...]
    state_dict: dict[str, Tensor]


def run_trial(
    task: Task,
    baseline: Baseline,
    policy: PrecisionPolicy,
    recipe: TrialRecipe,
    *,
    share: float = 1.0,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> TrialResult:
    """Score one policy: the better of calibrated only and fine-tuned, BatchNorm re-estimated in both.

    `share` of the recipe's steps is trained, with the whole fall of the learning rate within them; share 0
    calibrates only (post-training quantization).

    The same arguments give the same score to the bit on the same processor and threads. Samples and their
    order follow from `seed` alone, so that policies are compared on the same batches.

    Raises: TrialError if a loss is NaN or infinite; ConfigError if the policy names an unknown layer, the
    recipe asks for a GPU where there is none, or for folding in a model without a graph.
    """
    started = time.perf_counter()
    if policy.is_full_precision:
        return TrialResult(
            score=baseline.validation_score,
            loss=baseline.validation_loss,
            calibrated_score=baseline.validation_score,
            seconds=time.perf_counter() - started,
            steps=0,
            curve=(),
            state_dict=baseline.state_dict,
        )
    device = trial_device(recipe.device)
    task = task.to(device)
    teacher = baseline_model(task, baseline).to(device)

    def trace() -> ModelTrace:
        return baseline.memory.traced(teacher, task.example_inputs)

    with seeded(seed, device):
        source = teacher if not recipe.fold_batch_norm else folded(teacher, policy, trace())
        student = new_student(source, policy, recipe)
        steps = recipe.steps_for(policy, share)
        data = trial_data(task, recipe, steps=steps, seed=seed)
        before, after = trial_statistics(task, baseline, teacher, recipe, data.statistics, seed=seed)
        calibrate(student, inputs_of(data.calibration, device))
        best = calibrated = scored(student, task, before)
        curve: tuple[float, ...] = ()
        if steps:
            tuning = FineTuning(
                policy=policy,
                recipe=recipe,
                steps=steps,
                data=data,
                loss=TrialLoss(task=task, recipe=recipe, teacher=teacher, memory=baseline.memory, seed=seed),
                source=source,
                points=feature_points(trace()) if recipe.feature_distillation else (),
            )
            student, curve = tuning.run(student, on_progress)
            tuned = scored(student, task, after)
            best = max(calibrated, tuned, key=lambda found: (found.score, -found.loss))
    return TrialResult(
        score=best.score,
        loss=best.loss,
        calibrated_score=calibrated.score,
        seconds=time.perf_counter() - started,
        steps=steps,
        curve=curve,
        state_dict=best.state_dict,
    )


def baseline_model(task: Task, baseline: Baseline) -> nn.Module:
    """The trained 32-bit model, in eval mode.

    Raises: TaskError if the weights do not fit the task's model.
    """
    model = prepare_model(task.new_model())
    _load(model, baseline.state_dict, f"the 32-bit model of task {task.name!r}")
    return model.eval()


def restore_trial_model(
    task: Task, policy: PrecisionPolicy, state_dict: Mapping[str, Tensor], recipe: TrialRecipe
) -> nn.Module:
    """The fake-quantized model of a finished trial, in eval mode.

    Raises: TaskError if the weights belong to another model or policy.
    """
    model = task.new_model()
    if recipe.fold_batch_norm:
        model = folded(model, policy, trace_model(model, task.example_inputs))
    model = prepare_model(quantize_model(model, policy, recipe.quantizers))
    _load(model, state_dict, f"task {task.name!r} with policy {policy.key}")
    return model.eval()


def test_score(task: Task, model: nn.Module) -> float:
    """The score on the split that no search has seen.

    Raises: TaskError if the task has none.
    """
    if task.test is None:
        raise TaskError(
            f"A test score needs a test split; task {task.name!r} has none. Give it a third part."
        )
    return evaluate(model, task.test, task)[0]


test_score.__test__ = False  # type: ignore[attr-defined] # pytest would take it for a test


def _load(model: nn.Module, state_dict: Mapping[str, Tensor], what: str) -> None:
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise TaskError(f"The weights must fit {what}; {error}") from error
