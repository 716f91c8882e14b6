"""The 32-bit model that every trial starts from: trained once, cached under a hash of what made it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from mpsearch.errors import FormatError, MpsearchError, TaskError, TrialError
from mpsearch.training.baseline_key import baseline_key, made_of
from mpsearch.training.distillation import TeacherMemory
from mpsearch.training.evaluate import evaluate
from mpsearch.training.layout import prepare_model
from mpsearch.training.locations import cache_dir as default_cache_dir
from mpsearch.training.loop import Progress, fit, one_cycle
from mpsearch.training.task import Task
from mpsearch.training.weights_file import read_weights, write_weights

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """The trained 32-bit weights; `cached` says that they were read, not trained now.

    `memory` keeps the model's outputs on training batches from one trial of this process to the next.
    """

    state_dict: dict[str, Tensor]
    validation_score: float
    validation_loss: float
    key: str
    seconds: float
    cached: bool
    memory: TeacherMemory = field(default_factory=TeacherMemory, repr=False)


def trained_baseline(
    task: Task, *, seed: int = 0, cache_dir: Path | None = None, progress: Progress | None = None
) -> Baseline:
    """The baseline from the cache, or trained now and put there.

    A cached file that cannot be used is trained again, with a warning in the log.

    Raises: TaskError if the task's own code fails, training diverges, or the score or loss is not finite;
    StorageError if the cache cannot be
    written.
    """
    model = _fresh_model(task, seed)
    parts = made_of(task, model, seed)
    key = baseline_key(parts)
    if task.pretrained:
        score, loss = _judged(model, task)
        return _baseline(model, score=score, loss=loss, key=key, seconds=0.0)
    path = (cache_dir or default_cache_dir()) / "baselines" / f"{task_file_stem(task.name)}-{key}.safetensors"
    cached = _read_cached(path, model, key)
    if cached is not None:
        return cached
    evaluate(model, task.validation.take(2), task)  # a model, loss or metric that fails does so now
    started = time.perf_counter()
    _train(model, task, seed, progress)
    score, loss = _judged(model, task)
    trained = _baseline(model, score=score, loss=loss, key=key, seconds=time.perf_counter() - started)
    described = {
        "key": key,
        "validation_score": score,
        "validation_loss": loss,
        "seconds": trained.seconds,
        "made_of": parts,
    }
    write_weights(path, trained.state_dict, described, "MPSEARCH_CACHE")
    return trained


def _judged(model: nn.Module, task: Task) -> tuple[float, float]:
    score, loss = evaluate(model, task.validation, task)
    if not (math.isfinite(score) and math.isfinite(loss)):
        raise TaskError(
            f"The 32-bit model of task {task.name!r} must have a finite score and loss on the validation "
            f"split; got {score} and {loss}. Mend the task's metric, loss or data."
        )
    return score, loss


def task_file_stem(name: str) -> str:
    """A task's name with only letters, digits, dash and dot, for a file name."""
    return "".join(c if c.isalnum() or c in "-." else "-" for c in name)[-60:]


def _fresh_model(task: Task, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return prepare_model(task.new_model())


def _train(model: nn.Module, task: Task, seed: int, progress: Progress | None) -> None:
    recipe = task.baseline
    batch_size = min(recipe.batch_size, len(task.train))
    steps = recipe.epochs * (len(task.train) // batch_size)
    generator = Generator().manual_seed(seed)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in task.train.shuffled_batches(batch_size, steps=steps, generator=generator):
            yield (inputs if task.augment is None else task.augment(inputs, generator)), targets

    of_listener: list[Exception] = []

    def listen(step: int, steps: int, loss: float) -> None:
        try:
            if progress is not None:
                progress(step, steps, loss)
        except Exception as error:
            of_listener.append(error)
            raise

    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # dropout draws from the global generator
            fit(
                model,
                _optimizer(model, task),
                batches(),
                lambda _step, output, _inputs, targets: task.loss(output, targets),
                steps=steps,
                rate_at=one_cycle(recipe.warmup_fraction),
                bfloat16=recipe.bfloat16,
                gradient_clip=recipe.gradient_clip,
                on_progress=listen,
            )
    except TrialError as error:
        raise TaskError(f"The 32-bit baseline of task {task.name!r} diverged. {error}") from error
    except MpsearchError:
        raise
    except Exception as error:  # the user's model, loss and augmentation run here
        if error in of_listener:
            raise
        raise TaskError(
            f"The 32-bit baseline of task {task.name!r} must train on batches of {batch_size}; it raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _optimizer(model: nn.Module, task: Task) -> torch.optim.Optimizer:
    recipe = task.baseline
    weights = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0
        )
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _baseline(model: nn.Module, *, score: float, loss: float, key: str, seconds: float) -> Baseline:
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return Baseline(
        state_dict=weights,
        validation_score=score,
        validation_loss=loss,
        key=key,
        seconds=seconds,
        cached=False,
    )


def _read_cached(path: Path, model: nn.Module, key: str) -> Baseline | None:
    if not path.exists():
        return None
    try:
        weights, described = read_weights(path)
        model.load_state_dict(weights)
        return Baseline(
            state_dict=weights,
            validation_score=float(described["validation_score"]),
            validation_loss=float(described["validation_loss"]),
            key=key,
            seconds=float(described["seconds"]),
            cached=True,
        )
    except (FormatError, KeyError, TypeError, ValueError, RuntimeError) as error:
        LOG.warning("The cached baseline %s cannot be used (%s); training it again.", path, error)
        return None
