"""The models and data of `benchmarks/qat.py`, and how their trials and long fine-tunes are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qat_run import PolicyRule, Workload, inner, uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A workload with the settings of a trial; `long` are those of the long fine-tune.

    space              whose random policies are ranked; None for none
    drawn             how many of them: small models repeat some, and at least 40 are to remain
    ends               what first and last layer take where only the inner ones are compared
    held_at_one_bit    a glob: what takes `ends` too where the inner layers take w1a1
    measure            what tables compare: points of the score, or nats of the loss
    is_slow            minutes a run, so that less is compared
    has_augmentation   the task can vary its training inputs
    has_sign_inputs    layers may take inputs of one bit
    """

    workload: Workload
    trial: Mapping[str, Any]
    long: Mapping[str, Any]
    space: str | None = None
    drawn: int = 48
    ends: str | None = "w8a8"
    held_at_one_bit: str | None = None
    measure: Literal["score", "loss"] = "score"
    is_slow: bool = False
    has_augmentation: bool = False
    has_sign_inputs: bool = True
    only: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.workload.name

    def rule(self, scheme: str) -> PolicyRule:
        """That scheme everywhere, or inside where the ends are held."""
        if self.ends in (None, scheme):
            return uniform(scheme)
        return inner(scheme, held=self.held_at_one_bit if scheme == "w1a1" else None)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {**self.trial, **changes}


CIFAR10_EPOCH = 351  # steps of 128 images

_DIGITS: Mapping[str, Any] = {"batch_size": 50, "steps": 200, "high_bit_steps": 40}
_LONG_DIGITS: Mapping[str, Any] = {"batch_size": 50, "steps": 2000, "high_bit_steps": 400}
DIGITS_CNN = Bench(
    workload=Workload(name="digits-cnn", task="digits", args={"model": "cnn"}),
    trial=_DIGITS,
    long=_LONG_DIGITS,
    space="digits",
    ends=None,
)
DIGITS_MLP = Bench(
    workload=Workload(name="digits-mlp", task="digits", args={"model": "mlp"}),
    trial=_DIGITS,
    long=_LONG_DIGITS,
    ends=None,
)
# BatchNorm before each layer, not a ReLU: there a sign with its threshold at 0 tells something.
DIGITS_XNOR = Bench(
    workload=Workload(name="digits-xnor", task="digits", args={"model": "xnor-cnn"}),
    trial=_DIGITS,
    long=_LONG_DIGITS,
    only=("binary_activation", "sign_gradient"),
)
# At one bit a depthwise convolution, nine weights a channel, keeps 8: it is a percent of the network.
SPEECH = Bench(
    workload=Workload(name="speech", task="speech_digits"),
    trial={"batch_size": 64, "steps": 300, "high_bit_steps": 60},
    long={"batch_size": 64, "steps": 3000, "high_bit_steps": 600},
    space="speech-digits",
    held_at_one_bit="*.depthwise",
    has_augmentation=True,
)
RESNET20 = Bench(
    workload=Workload(name="resnet20", task="cifar10", args={"model": "resnet20"}),
    trial={"steps": CIFAR10_EPOCH, "high_bit_steps": CIFAR10_EPOCH, "bfloat16": True},
    long={"steps": 1000, "high_bit_steps": 300, "bfloat16": True},
    space="cifar10-resnet20",
    drawn=40,
    is_slow=True,
    has_augmentation=True,
)
SHAKESPEARE = Bench(
    workload=Workload(name="shakespeare", task="shakespeare", args={"model": "gpt"}),
    trial={"batch_size": 16, "steps": 300, "high_bit_steps": 60},
    long={"batch_size": 16, "steps": 3000, "high_bit_steps": 600},
    measure="loss",
    is_slow=True,
    has_sign_inputs=False,
)
BENCHES = (DIGITS_CNN, DIGITS_MLP, DIGITS_XNOR, SPEECH, SHAKESPEARE, RESNET20)
