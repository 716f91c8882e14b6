"""The models and data of `benchmarks/qat.py`, and how their trials and long fine-tunes are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qat_run import PolicyRule, Workload, inner, uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A workload with the settings of a trial; `long` replaces some for the long fine-tune.

    `ends` is what first and last layer take where policies are random. `measure` is what a table compares:
    points of the score, or nats of the loss. `is_slow`: minutes a run, so that less is compared there.
    `has_augmentation`: the task can vary its training inputs.
    """

    workload: Workload
    trial: Mapping[str, Any]
    long: Mapping[str, Any]
    ends: str | None = "w8a8"
    measure: Literal["score", "loss"] = "score"
    is_slow: bool = False
    has_augmentation: bool = False

    @property
    def name(self) -> str:
        return self.workload.name

    def rule(self, scheme: str) -> PolicyRule:
        """That scheme everywhere, or inside where the ends are held."""
        return uniform(scheme) if self.ends in (None, scheme) else inner(scheme)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {**self.trial, **changes}


CIFAR10_EPOCH = 351  # steps of 128 images

_DIGITS: Mapping[str, Any] = {"batch_size": 50, "steps": 200, "high_bit_steps": 40}
_LONG_DIGITS: Mapping[str, Any] = {"batch_size": 50, "steps": 2000, "high_bit_steps": 400}
DIGITS_CNN = Bench(
    workload=Workload(name="digits-cnn", task="digits", args={"model": "cnn"}),
    trial=_DIGITS,
    long=_LONG_DIGITS,
    ends=None,
)
DIGITS_MLP = Bench(
    workload=Workload(name="digits-mlp", task="digits", args={"model": "mlp"}),
    trial=_DIGITS,
    long=_LONG_DIGITS,
    ends=None,
)
RESNET20 = Bench(
    workload=Workload(name="resnet20", task="cifar10", args={"model": "resnet20"}),
    trial={"steps": CIFAR10_EPOCH, "high_bit_steps": CIFAR10_EPOCH, "bfloat16": True},
    long={"steps": 2000, "high_bit_steps": 600, "bfloat16": True},
    is_slow=True,
    has_augmentation=True,
)
BENCHES = (DIGITS_CNN, DIGITS_MLP, RESNET20)
