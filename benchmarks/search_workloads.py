"""Small real models whose every policy is trained: what the tables of `benchmarks/search.py` are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from mpsearch.models.ds_cnn import DsCnn
from mpsearch.models.mlp import Mlp
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme, scheme_named
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.split import Split
from mpsearch.training.task import Task, load_task

FIVE = ("w1a1", "w1.58a8", "w4a8", "w8a8", "w32a32")
FOUR = FIVE[:4]
THREE = ("w1a1", "w1.58a8", "w8a8")
# One bit at pixels, at logits or in the few weights of a depthwise convolution loses too much.
OUTER = ("w1.58a8", "w4a8", "w8a8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A task, and what its layers may take.

    `choices`: name of a column -> the layers that it decides and the schemes that they share. `pinned`: the
    other layers. `short` is the share of the recipe's steps that the column `score_short` trains.
    """

    task: Callable[[], Task]
    choices: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    pinned: Mapping[str, str]
    recipe: TrialRecipe
    batch: int
    seeds: int
    short: float = 0.25

    def policy(self, names: Mapping[str, str]) -> PrecisionPolicy:
        """From column -> scheme."""
        taken: dict[str, Scheme] = {layer: scheme_named(name) for layer, name in self.pinned.items()}
        for choice, (layers, _) in self.choices.items():
            taken |= dict.fromkeys(layers, scheme_named(names[choice]))
        return PrecisionPolicy(taken)


class CifarCnn(nn.Module):
    """Five 3x3 convolutions, three of them of stride 2, then the mean of all positions and a classifier.

    Shape: x (N, 3, 32, 32) -> logits (N, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = 3
        for out, stride in ((16, 2), (32, 1), (32, 2), (64, 1), (64, 2)):
            stages += [
                nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            channels = out
        self.features = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.features(x)).flatten(1))


def _digits_mlp() -> Task:
    task = load_task("digits", {"model": "mlp"})
    return replace(task, args={"model": "mlp-48"}, build_model=functools.partial(Mlp, 64, [48] * 4))


def _digits_cnn() -> Task:
    return load_task("digits", {"model": "cnn", "width": 0.5})


def _speech_ds_cnn() -> Task:
    task = load_task("speech_digits", {})
    return replace(
        task,
        args={"model": "ds-cnn-3x32"},
        build_model=functools.partial(DsCnn, num_classes=10, width=32, blocks=3),
    )


def _cifar_cnn() -> Task:
    task = load_task("cifar10", {})
    half = task.validation
    return replace(
        task,
        args={"model": "cnn-5"},
        build_model=CifarCnn,
        validation=Split(half.inputs[:2000], half.targets[:2000]),
        baseline=replace(task.baseline, epochs=12, learning_rate=0.1),
    )


def _alone(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


WORKLOADS: dict[str, Workload] = {
    "digits-mlp": Workload(
        task=_digits_mlp,
        choices={
            name: (layers, FIVE)
            for name, layers in _alone("hidden.0", "hidden.3", "hidden.6", "hidden.9", "classifier").items()
        },
        pinned={},
        recipe=TrialRecipe(steps=100, high_bit_steps=20, batch_size=50),
        batch=32,
        seeds=3,
    ),
    "digits-cnn": Workload(
        task=_digits_cnn,
        choices={
            name: (layers, FOUR) for name, layers in _alone("conv1", "conv2", "conv3", "conv4", "fc1").items()
        },
        pinned={"fc2": "w8a8"},
        recipe=TrialRecipe(steps=100, high_bit_steps=20, batch_size=50),
        batch=16,
        seeds=3,
    ),
    "speech-ds-cnn": Workload(
        task=_speech_ds_cnn,
        choices={
            "conv1": (("conv1",), OUTER),
            "depthwise": (tuple(f"blocks.{block}.depthwise" for block in range(3)), OUTER),
            **{f"blocks.{block}.pointwise": ((f"blocks.{block}.pointwise",), THREE) for block in range(3)},
            "fc": (("fc",), OUTER),
        },
        pinned={},
        recipe=TrialRecipe(steps=100, high_bit_steps=20, batch_size=64),
        batch=8,
        seeds=2,
    ),
    "cifar10-cnn": Workload(
        task=_cifar_cnn,
        choices={
            "features.0": (("features.0",), OUTER),
            **{f"features.{place}": ((f"features.{place}",), THREE) for place in (3, 6, 9, 12)},
            "fc": (("fc",), OUTER),
        },
        pinned={},
        recipe=TrialRecipe(steps=100, high_bit_steps=20, batch_size=64, augment=True),
        batch=8,
        seeds=2,
    ),
}
