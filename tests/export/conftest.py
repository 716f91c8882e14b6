"""A run of one real trial on a task that trains in a moment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.costs import Costs
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.recipe import BaselineRecipe, TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct
from mpsearch.training.trial import run_trial
from mpsearch.training.weights_file import write_weights

POLICY = {
    "conv1": "w4a8",
    "shared": "w1.58a8",
    "conv2": "w1a1",
    "middle": "w1a8",
    "head": "w8a8",
    "last": "w32a32",
}


class TinyNet(nn.Module):
    """Every scheme, BatchNorm, and one layer under two names that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.again = self.shared
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=2)
        self.bn2 = nn.BatchNorm2d(8)
        self.middle = nn.Linear(8 * 9, 16)
        self.head = nn.Linear(16, 16)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.again(F.relu(self.shared(x))))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.last(F.relu(self.head(F.relu(self.middle(x.flatten(1))))))


def images(count: int, seed: int) -> Split:
    generator = Generator().manual_seed(seed)
    targets = torch.randint(3, (count,), generator=generator)
    bright = torch.zeros(count, 1, 6, 6)
    for row in range(3):
        bright[targets == row, :, 2 * row : 2 * row + 2] = 2.0
    return Split(bright + 0.4 * torch.randn(bright.shape, generator=generator), targets)


def build_task() -> Task:
    return Task(
        name="tiny",
        build_model=TinyNet,
        train=images(160, 0),
        validation=images(80, 1),
        test=None,
        example_inputs=(torch.zeros(1, 1, 6, 6),),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=2, batch_size=32, learning_rate=0.05),
    )


@pytest.fixture
def task() -> Task:
    return build_task()


@pytest.fixture
def trained_run(task: Task, finished_run: Run, tmp_path: Path) -> Run:
    """`finished_run` with one trial that was trained for real: number 0, its weights in the run folder."""
    recipe = TrialRecipe(steps=6, high_bit_steps=4, batch_size=32, calibration_samples=64, bn_samples=100)
    policy = PrecisionPolicy(POLICY)
    baseline = trained_baseline(task, cache_dir=tmp_path / "cache")
    result = run_trial(task, baseline, policy, recipe)
    first = finished_run.records[0]
    record = TrialRecord(
        **{
            **{name: getattr(first, name) for name in TrialRecord.__slots__},
            "policy": policy,
            "score": result.score,
            "loss": result.loss,
            "costs": Costs(
                latency_s=5e-5, latency_p95_s=6e-5, latency_p99_s=8e-5, memory_bytes=9000, energy_j=1e-6
            ),
        }
    )
    write_weights(finished_run.path / "checkpoints" / "0.safetensors", result.state_dict, {"trial": 0})
    return dataclasses.replace(
        finished_run,
        records=(record,),
        model=trace_model(task.new_model(), task.example_inputs),
        space=dataclasses.replace(finished_run.space, trial=recipe),
        task=task,
    )
