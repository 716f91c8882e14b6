"""How a 32-bit baseline and a quantized trial are trained: settings only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.quantizer_choice import (
    Activation,
    Binary,
    BinaryActivation,
    QuantizerChoice,
    SignGradient,
    Ternary,
    Uniform,
)

OPTIMIZERS = ("sgd", "adam")
LOW_BITS = 2  # below this, weights are relearnt; from here on, they are only adjusted
MOST_FIDELITIES = 10


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
        _at_least(self, 1, "epochs", "batch_size")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}; got {self.optimizer!r}.")
        _positive(self, "learning_rate")
        _fraction(self, "momentum", "warmup_fraction")
        _not_negative(self, "weight_decay")
        if self.gradient_clip is not None:
            _positive(self, "gradient_clip")
        _true_or_false(self, "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecipe:
    """How one policy is fine-tuned before it is scored: Adam, a cosine from the learning rate to 0.

    Below 2 bits, weights are relearnt and move far; from 4 bits on they are only adjusted (ParetoQ). So:

    - a policy with a layer below 2 bits trains its whole network at `low_bit_learning_rate`, for between
      half of `steps` (one such layer) and all of `steps` (only such layers), in proportion to their number;
    - any other policy trains at `learning_rate` for `high_bit_steps`;
    - a policy of 32-bit layers only is the baseline, and is not trained.

    Loss: (1 - d) * task loss + d * T^2 * KL(teacher / T || student / T), where d is `distillation_weight` and
    T is `temperature`. `bfloat16` and `augment` as for the baseline; scores are always computed in 32 bits.
    Weight decay acts on weights only, not on scales, thresholds, biases and normalization.

    The quantizers of each family are named as in `QuantizerChoice`.

    `fidelities` are shares of those steps, rising to 1: a policy is first trained for the lowest, and the
    best one in `reduction` of each goes on to the next, from the 32-bit weights again and with a fall of the
    learning rate of its own (`mpsearch.search.promotion`). (1.0,) trains every policy once, in full.

    Raises: ConfigError if a value is out of range.
    Source: Liu et al. 2025, arXiv:2502.02631 (relearn or adjust); Hinton et al. 2015, arXiv:1503.02531.
    """

    steps: int = 300
    high_bit_steps: int = 60
    batch_size: int = 128
    learning_rate: float = 3e-4
    low_bit_learning_rate: float = 2e-3
    distillation_weight: float = 0.5
    temperature: float = 2.0
    weight_decay: float = 0.0
    binary: Binary = "bwn"
    ternary: Ternary = "twn"
    uniform: Uniform = "lsq"
    binary_activation: BinaryActivation = "rsign"
    sign_gradient: SignGradient = "clipped"
    activation: Activation = "lsq"
    calibration_samples: int = 256
    bn_samples: int = 1000
    augment: bool = False
    bfloat16: bool = False
    fidelities: tuple[float, ...] = (1.0,)
    reduction: int = 3

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "high_bit_steps", "batch_size")
        _at_least(self, 2, "calibration_samples", "bn_samples")  # one sample has no variance
        _at_least(self, 2, "reduction")  # with 1, every policy would be trained at every fidelity
        object.__setattr__(self, "fidelities", _shares(self.fidelities))
        _positive(self, "learning_rate", "low_bit_learning_rate", "temperature")
        _not_negative(self, "weight_decay")
        if not _is_number(self.distillation_weight) or not 0 <= self.distillation_weight <= 1:
            raise ConfigError(
                f"`distillation_weight` must be a number from 0 to 1; got {self.distillation_weight!r}."
            )
        _ = self.quantizers  # refuses unknown names
        _true_or_false(self, "augment", "bfloat16")

    @property
    def quantizers(self) -> QuantizerChoice:
        """The names of quantizers among the settings."""
        return QuantizerChoice(**{field.name: getattr(self, field.name) for field in fields(QuantizerChoice)})

    def steps_for(self, policy: PrecisionPolicy, share: float = 1.0) -> int:
        """How many steps that policy trains for, at a fidelity of `share`: at least one."""
        if policy.is_full_precision:
            return 0
        low = sum(scheme.weight_bits < LOW_BITS for scheme in policy.values())
        steps = self.steps * (1 + low / len(policy)) / 2 if low else self.high_bit_steps
        return max(1, round(share * steps))

    def learning_rate_for(self, policy: PrecisionPolicy) -> float:
        """The learning rate that policy's training starts from."""
        relearns = any(scheme.weight_bits < LOW_BITS for scheme in policy.values())
        return self.low_bit_learning_rate if relearns else self.learning_rate


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shares(fidelities: object) -> tuple[float, ...]:
    """Raises: ConfigError unless they rise to 1."""
    shares = tuple(fidelities) if isinstance(fidelities, (tuple, list)) else ()
    is_rising = (
        0 < len(shares) <= MOST_FIDELITIES
        and all(_is_number(share) and 0 < share <= 1 for share in shares)
        and all(low < high for low, high in pairwise(shares))
        and shares[-1] == 1
    )
    if not is_rising:
        raise ConfigError(
            f"`fidelities` must be at most {MOST_FIDELITIES} shares of the steps that rise to 1, such as "
            f"[0.1, 0.3, 1]; got {fidelities!r:.100}."
        )
    return shares


def _at_least(recipe: object, least: int, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")


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


def _true_or_false(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not isinstance(value, bool):
            raise ConfigError(f"`{name}` must be true or false; got {value!r}.")
