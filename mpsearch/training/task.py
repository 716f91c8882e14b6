"""A task: a model, its data, its loss and its metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Generator, Tensor, nn

from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What a search works on. The search sees `train` and `validation` only; `test` is for the final word.

    build_model   a fresh 32-bit model, its initial weights drawn from torch's global generator
    loss          (output, targets) -> scalar tensor, the mean over the batch
    metric        (output, targets) -> one score per sample (or position), higher is better; a task's score
                  is their mean, 1.0 for perfect where it is an accuracy
    augment       (inputs, generator) -> inputs, for training batches only; None for none
    args          what the task was made with; `path_args` names those that only say where data lies
    data_digest   names the data's content where that is known without reading it all; else computed
    pretrained    the model that `build_model` returns is trained already: it is the baseline

    Shape: example_inputs are what one forward takes, batch 1.
    """

    name: str
    build_model: Callable[[], nn.Module]
    train: Split
    validation: Split
    test: Split | None
    example_inputs: tuple[Tensor, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[Tensor, Tensor], Tensor]
    metric_name: str = "accuracy"
    baseline: BaselineRecipe = field(default_factory=BaselineRecipe)
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    path_args: tuple[str, ...] = ()
    data_digest: str | None = None
    pretrained: bool = False


def top1_correct(output: Tensor, targets: Tensor) -> Tensor:
    """1.0 where the largest logit is the target's, else 0.0.

    Shape: output (N, classes), targets (N,) -> (N,).
    """
    return (output.argmax(1) == targets).float()
