"""One trial: quantize by policy, calibrate, fine-tune for a moment, score on the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from mpsearch.errors import TaskError, TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.quant.parameter_groups import parameter_groups
from mpsearch.quant.swap import calibrate, quantize_model
from mpsearch.training.baseline import Baseline
from mpsearch.training.distillation import distillation_loss
from mpsearch.training.evaluate import evaluate
from mpsearch.training.layout import as_model_input, prepare_model
from mpsearch.training.loop import Progress, cosine, fit, reduced_precision
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task

STATISTICS_BATCH = 250


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

    `share` of the recipe's steps is trained, with the whole fall of the learning rate within them.

    The same arguments give the same score to the bit on the same machine and threads. Samples and their
    order follow from `seed` alone, so that policies are compared on the same batches.

    Raises: TrialError if a loss is NaN or infinite; ConfigError if the policy names an unknown layer.
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
    teacher = baseline_model(task, baseline)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout and other draws of the model
        model = prepare_model(quantize_model(teacher, policy, recipe.quantizers))
        generator = Generator().manual_seed(seed)
        calibrate(model, _inputs(task.train.sample(recipe.calibration_samples, generator)))
        statistics = task.train.sample(recipe.bn_samples, generator)
        calibrated = _scored(model, task, statistics)
        steps = recipe.steps_for(policy, share)
        curve = fit(
            model,
            _optimizer(model, recipe, recipe.learning_rate_for(policy)),
            _batches(task, recipe, steps, generator),
            _batch_loss(task, baseline, recipe, teacher, seed),
            steps=steps,
            rate_at=cosine,
            bfloat16=recipe.bfloat16,
            on_progress=on_progress,
        )
        tuned = _scored(model, task, statistics)
    best = max(calibrated, tuned, key=lambda scored: (scored.score, -scored.loss))
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
    model = prepare_model(quantize_model(task.new_model(), policy, recipe.quantizers))
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scored:
    score: float
    loss: float
    state_dict: dict[str, Tensor]


def _scored(model: nn.Module, task: Task, statistics: Split) -> _Scored:
    reestimate_batch_norm(model, _inputs(statistics))
    score, loss = evaluate(model, task.validation, task)
    if not math.isfinite(loss):
        raise TrialError(
            f"The validation loss must be finite; got {loss}. Lower the learning rate, or leave the policy's "
            "lowest layers at more bits."
        )
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return _Scored(score=score, loss=loss, state_dict=weights)


def _inputs(split: Split) -> Iterator[Tensor]:
    # Of nearly equal sizes: all count the same in BatchNorm statistics, and none is left with one sample.
    for inputs in split.inputs.tensor_split(max(1, round(len(split) / STATISTICS_BATCH))):
        yield as_model_input(inputs)


def _batches(
    task: Task, recipe: TrialRecipe, steps: int, generator: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    augment = task.augment if recipe.augment else None
    for inputs, targets in task.train.shuffled_batches(recipe.batch_size, steps=steps, generator=generator):
        yield (inputs if augment is None else augment(inputs, generator)), targets


def _batch_loss(
    task: Task, baseline: Baseline, recipe: TrialRecipe, teacher: nn.Module, seed: int
) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
    share = recipe.distillation_weight
    # What else the batch of a step depends on.
    batches = (seed, recipe.batch_size, recipe.augment, recipe.calibration_samples, recipe.bn_samples)

    def batch_loss(step: int, output: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        if share == 0:
            return task.loss(output, targets)
        with reduced_precision(enabled=recipe.bfloat16):
            taught = baseline.memory.output((step, recipe.bfloat16, *batches), teacher, inputs)
        from_teacher = distillation_loss(output, taught, temperature=recipe.temperature)
        return share * from_teacher + (1 - share) * task.loss(output, targets) if share < 1 else from_teacher

    return batch_loss


def _optimizer(model: nn.Module, recipe: TrialRecipe, learning_rate: float) -> torch.optim.Optimizer:
    groups = parameter_groups(model)
    decayed = [parameter for parameter in groups.weights if parameter.ndim > 1]
    rest = [parameter for parameter in groups.weights if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": [*groups.latent, *groups.scales, *rest], "weight_decay": 0.0},
        ],
        lr=learning_rate,
    )


def _load(model: nn.Module, state_dict: Mapping[str, Tensor], what: str) -> None:
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise TaskError(f"The weights must fit {what}; {error}") from error
