"""How a 32-bit baseline and a quantized trial are trained: settings only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mpsearch.errors import ConfigError

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecipe:
    """How the 32-bit model is trained: one rise and one cosine fall of the learning rate.

    `learning_rate` is the highest one, reached after `warmup_fraction` of the steps. Weight decay leaves out
    biases and normalization. `bfloat16` computes products in 16 bits where the processor has the
    instructions (parameters, losses and scores stay 32-bit). All fields enter the baseline's cache key.

    Raises: ConfigError if a value is out of range.
    """

    epochs: int = 20
    batch_size: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"  # SGD: with Nesterov momentum
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_fraction: float = 0.25
    gradient_clip: float | None = None
    bfloat16: bool = False

    def __post_init__(self) -> None:
        _at_least_one(self, "epochs", "batch_size")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}; got {self.optimizer!r}.")
        _positive(self, "learning_rate")
        _fraction(self, "momentum", "warmup_fraction")
        _not_negative(self, "weight_decay")
        if self.gradient_clip is not None:
            _positive(self, "gradient_clip")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _at_least_one(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"`{name}` must be a whole number of at least 1; got {value!r}.")


def _positive(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not _is_number(value) or not 0 < value < float("inf"):  # also rejects NaN
            raise ConfigError(f"`{name}` must be a number above 0; got {value!r}.")


def _not_negative(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not _is_number(value) or not 0 <= value < float("inf"):
            raise ConfigError(f"`{name}` must be a number of at least 0; got {value!r}.")


def _fraction(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not _is_number(value) or not 0 <= value < 1:
            raise ConfigError(f"`{name}` must be a number from 0 up to, not including, 1; got {value!r}.")
