"""The built-in task `digits`: the 1,797 handwritten digits of 8x8 pixels that scikit-learn carries."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.models.digits_cnn import DigitsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.models.width import CHANNEL_STEP, scaled_channels
from mpsearch.models.xnor_cnn import XnorCnn
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

SPLIT_SEED = 8


def _cnn(width: float) -> nn.Module:
    return DigitsCnn(width=width)


def _mlp(width: float) -> nn.Module:
    return Mlp(64, [scaled_channels(128, width)] * 2)


def _xnor_cnn(width: float) -> nn.Module:
    return XnorCnn(width=width)


# Width multiplier -> a model of that width.
MODELS: dict[str, Callable[[float], nn.Module]] = {"cnn": _cnn, "mlp": _mlp, "xnor-cnn": _xnor_cnn}


def digits_task(*, model: str = "cnn", width: float = 1) -> Task:
    """Half of each class for training, a quarter for validation, a quarter for the test: 898, 449, 450.

    `width` times the hidden channels or features of the model.

    Raises: ConfigError if the model is unknown, or the width no number above 0.
    """
    if model not in MODELS:
        raise ConfigError(f"`model` of task digits must be one of {', '.join(MODELS)}; got {model!r}.")
    scaled_channels(CHANNEL_STEP, width)  # refuses what is no width before any data is read
    from sklearn.datasets import load_digits  # noqa: PLC0415 - a second that other tasks need not wait

    digits = load_digits()
    images = torch.from_numpy(digits.images.astype(np.float32))[:, None] / 8 - 1  # 0..16 -> -1..1
    labels = torch.from_numpy(digits.target.astype(np.int64))
    train, validation, test = (
        Split(images[chosen], labels[chosen]) for chosen in stratified_split(digits.target, (0.5, 0.25, 0.25))
    )
    return Task(
        name="digits",
        args={"model": model} if width == 1 else {"model": model, "width": width},
        build_model=functools.partial(MODELS[model], width),
        train=train,
        validation=validation,
        test=test,
        example_inputs=(train.inputs[:1],),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=30, batch_size=50, learning_rate=0.1, weight_decay=5e-4),
    )


def stratified_split(
    labels: np.ndarray, fractions: tuple[float, ...], *, seed: int = SPLIT_SEED
) -> tuple[torch.Tensor, ...]:
    """Disjoint index sets that cover all samples; each class is shared out by `fractions` (their sum is 1).

    Shape: labels (N,) -> one (n_i,) int64 tensor per fraction, in a fixed random order.
    """
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in fractions]
    for label in np.unique(labels):
        of_class = generator.permutation(np.flatnonzero(labels == label))
        ends = np.rint(np.cumsum(fractions)[:-1] * len(of_class)).astype(int)
        for part, chosen in zip(parts, np.split(of_class, ends), strict=True):
            part.append(chosen)
    return tuple(torch.from_numpy(generator.permutation(np.concatenate(part))) for part in parts)
