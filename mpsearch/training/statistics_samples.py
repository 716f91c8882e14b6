"""Which inputs BatchNorm is re-estimated on: as they are, or varied as in the 32-bit model's training."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mpsearch.quant.batch_norm import reestimate_batch_norm
from mpsearch.training.baseline import Baseline
from mpsearch.training.device import device_of
from mpsearch.training.evaluate import evaluate
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task
from mpsearch.training.trial_data import inputs_of

SAMPLES = 1000  # at most, of either split


def trial_statistics(
    task: Task, baseline: Baseline, teacher: nn.Module, recipe: TrialRecipe, samples: Split, *, seed: int
) -> tuple[Split | None, Split | None]:
    """What BatchNorm is re-estimated on before and after a trial's training; None where it is not.

    Before: the samples as they are, or varied by the task's `augment`, whichever suits the 32-bit model.
    Neither always does: its weights learnt to live with the statistics of varied inputs, and it is asked
    about inputs as they are. So it is tried once, with other samples: the kind is taken that, re-estimated
    on, leaves the lower loss on the validation split.

    After: like the inputs of the training.
    """
    if not recipe.reestimate_batch_norm:
        return None, None
    if task.augment is None or not any(isinstance(module, _BatchNorm) for module in teacher.modules()):
        return samples, samples
    memory = baseline.memory
    if memory.suits_varied is None:
        tried = task.train.sample(SAMPLES, Generator().manual_seed(0))
        varied_loss = _loss(task, teacher, _varied(task.augment, tried, 0))
        memory.suits_varied = varied_loss < _loss(task, teacher, tried)
    if not memory.suits_varied and not recipe.augment:
        return samples, samples
    varied = _varied(task.augment, samples, seed)
    return varied if memory.suits_varied else samples, varied if recipe.augment else samples


def _varied(augment: Callable[[Tensor, Generator], Tensor], samples: Split, seed: int) -> Split:
    with torch.random.fork_rng(devices=[]):  # a user's `augment` may draw from the global generator too
        torch.default_generator.manual_seed(seed)  # and not that of a GPU, whose state is not kept
        return Split(augment(samples.inputs.clone(), Generator().manual_seed(seed)), samples.targets)


def _loss(task: Task, teacher: nn.Module, samples: Split) -> float:
    model = copy.deepcopy(teacher)
    reestimate_batch_norm(model, inputs_of(samples, device_of(model)))
    asked = task.validation.sample(SAMPLES, Generator().manual_seed(0))  # in order, they may be of one class
    return evaluate(model, asked, task)[1]
