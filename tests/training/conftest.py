from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

CLASSES, FEATURES = 3, 8


def blobs(count: int, seed: int) -> Split:
    """Three Gaussian clouds that a linear model tells apart nearly always."""
    generator = Generator().manual_seed(seed)
    centres = 2 * torch.eye(CLASSES, FEATURES)
    targets = torch.randint(CLASSES, (count,), generator=generator)
    return Split(centres[targets] + 0.5 * torch.randn(count, FEATURES, generator=generator), targets)


def build_model() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES))


@pytest.fixture
def tiny_task() -> Task:
    """A task that trains in a fraction of a second; its quantizable layers are "0" and "3"."""
    train = blobs(160, 0)
    return Task(
        name="blobs",
        build_model=build_model,
        train=train,
        validation=blobs(80, 1),
        test=blobs(80, 2),
        example_inputs=(train.inputs[:1],),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=3, batch_size=32, learning_rate=0.05),
    )
