"""A task of milliseconds: three clouds of points and a small perceptron."""

import time

import torch
import torch.nn.functional as F
from torch import nn

from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct


class SlowOnPurpose(nn.Module):
    def __init__(self, pause_s):
        super().__init__()
        self.pause_s = pause_s

    def forward(self, x):
        time.sleep(self.pause_s)
        return x


def tiny_task(pause_s: float = 0.0, width: float = 1):
    return Task(
        name="tiny",
        args={"pause_s": pause_s, "width": width},
        build_model=lambda: build_model(pause_s, round(16 * width)),
        train=clouds(96, seed=1),
        validation=clouds(60, seed=2),
        test=clouds(60, seed=3),
        example_inputs=(torch.zeros(1, 8),),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=2, batch_size=32),
    )


def build_model(pause_s, hidden=16):
    return nn.Sequential(
        nn.Linear(8, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 3),
        SlowOnPurpose(pause_s),
    )


def clouds(count, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    centres = torch.eye(8)[:3] * 2
    return Split(centres[targets] + 0.7 * torch.randn(count, 8, generator=generator), targets)
