"""The samples of a trial: which ones, and in which order, follows from its seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mpsearch.training.layout import as_model_input
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task

STATISTICS_BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialData:
    """What calibration and BatchNorm statistics see, and the batches of training, which can be taken once."""

    calibration: Split
    statistics: Split
    batches: Iterator[tuple[Tensor, Tensor]]


def trial_data(task: Task, recipe: TrialRecipe, *, steps: int, seed: int) -> TrialData:
    """Drawn on the processor, so that they are the same on every device."""
    generator = Generator().manual_seed(seed)
    calibration = task.train.sample(recipe.calibration_samples, generator)
    statistics = task.train.sample(recipe.bn_samples, generator)
    return TrialData(
        calibration=calibration,
        statistics=statistics,
        batches=_batches(task, recipe, steps, generator),
    )


def inputs_of(split: Split, device: torch.device) -> Iterator[Tensor]:
    """All inputs of the split, on the device."""
    # Of nearly equal sizes: all count the same in BatchNorm statistics, and none is left with one sample.
    for inputs in split.inputs.tensor_split(max(1, round(len(split) / STATISTICS_BATCH))):
        yield as_model_input(inputs.to(device))


def _batches(
    task: Task, recipe: TrialRecipe, steps: int, generator: Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    augment = task.augment if recipe.augment else None
    for inputs, targets in task.train.shuffled_batches(recipe.batch_size, steps=steps, generator=generator):
        yield (inputs if augment is None else augment(inputs, generator)), targets
