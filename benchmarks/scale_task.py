"""A search of twenty layers whose trials cost nothing: what is left is the engine's own time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from cost_batch import made_up_profile
from torch import nn

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.trace import trace_model
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import parse_space
from mpsearch.training.recipe import BaselineRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, top1_correct

LAYERS = 20


def twenty_layers() -> Task:
    """A perceptron of twenty layers of different widths over 64 points. It has no test split."""
    widths = [8, *range(9, 9 + LAYERS - 1), 3]

    def build() -> nn.Module:
        stages = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        return nn.Sequential(*(module for stage in stages for module in (stage, nn.ReLU())))

    points = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    split = Split(points, torch.arange(64) % 3)
    return Task(
        name="twenty-layers",
        args={},
        build_model=build,
        train=split,
        validation=split,
        test=None,
        example_inputs=(points[:1],),
        loss=F.cross_entropy,
        metric=top1_correct,
        baseline=BaselineRecipe(epochs=1, batch_size=32),
    )


def space_of(*, trials: int, sampler: str = "tpe") -> SearchSpace:
    """Five schemes a layer, three objectives."""
    return parse_space(
        f"""
schema: 1
name: scale
task: {{name: "{Path(__file__).resolve()}:twenty_layers"}}
layers: [{{match: "*", schemes: [w1a1, w1.58a8, w4a8, w8a8, w32a32]}}]
objectives: [accuracy, latency, memory]
search: {{trials: {trials}, sampler: {sampler}}}
"""
    )


def profile_of(task: Task) -> HardwareProfile:
    """Made up: fewer bits, less time, more or less."""
    trace = trace_model(task.build_model(), task.example_inputs)
    return made_up_profile(trace, {layer.name: tuple(SCHEMES.values()) for layer in trace.layers})


@contextmanager
def instead_of_training(work: object) -> Iterator[None]:
    """Searches run `work`, whatever their task."""
    with mock.patch("mpsearch.search.engine._Search._work", return_value=work):
        yield
