"""How a 32-bit baseline and a quantized trial are trained: settings only."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
from mpsearch.training.setting_rules import (
    at_least,
    fraction,
    not_negative,
    positive,
    rising_shares,
    true_or_false,
    up_to_one,
)

OPTIMIZERS = ("sgd", "adam")
DEVICES = ("cpu", "cuda")
GRADIENT_BITS = range(1, 9)
LOW_BITS = 2  # below this, weights are relearnt; from here on, they are only adjusted


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
        at_least(self, 1, "epochs", "batch_size")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}; got {self.optimizer!r}.")
        positive(self, "learning_rate")
        fraction(self, "momentum", "warmup_fraction")
        not_negative(self, "weight_decay")
        if self.gradient_clip is not None:
            positive(self, "gradient_clip")
        true_or_false(self, "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecipe:
    """How one policy is fine-tuned before it is scored: Adam, a cosine from the learning rate to 0.

    Below 2 bits, weights are relearnt and move far; from 4 bits on they are only adjusted (ParetoQ). So:

    - a policy with a layer below 2 bits trains its whole network at `low_bit_learning_rate`, for between
      half of `steps` (one such layer) and all of `steps` (only such layers), in proportion to their number;
    - any other policy trains at `learning_rate` for `high_bit_steps`;
    - a policy of 32-bit layers only is the baseline, and is not trained.

    Loss: (1 - d) * task loss + d * T^2 * KL(teacher / T || student / T), where d is `distillation_weight` and
    T is `temperature`; plus `feature_distillation` times the distance of inner outputs (`FeatureDistance`).
    Distillation takes outputs for logits of classes: d must be 0 for a regression (`require_needs`).
    `bfloat16` and `augment` as for the baseline; scores are always computed in 32 bits.

    The quantizers of each family are named as in `QuantizerChoice`. The other settings are off unless said:

    weight_decay                of weights from 2 bits on; scales, thresholds, biases, normalization have none
    low_bit_weight_decay        of weights below 2 bits, for the first `low_bit_decay_until` of the steps
    learning_rate_by_layer      only the weights below 2 bits take `low_bit_learning_rate`
    scale_learning_rate_factor  on the learning rate of scales and thresholds
    progressive                 8, then 4 bits, then the layer's own (`mpsearch.training.stages`)
    freeze_oscillating          flips a step from which a weight is frozen (`FreezeOscillating`)
    ema                         decay of the average over steps whose weights are scored (`WeightAverage`)
    prune                       share of each ternary layer's weights held at 0 (`SparseWeights`)
    dense_sparse_dense          share held at 0 in the middle third of the steps (`SparseWeights`)
    gradient_bits               bits of the gradients that reach each quantized layer's output
    reestimate_batch_norm       on: statistics over `bn_samples` inputs before every score (which inputs:
                                `mpsearch.training.statistics_samples`)
    fold_batch_norm             fold BatchNorm into the weights first, and train without it
    device                      where it is trained and scored; `cuda` needs a GPU that torch sees

    `fidelities` are shares of those steps, rising to 1: a policy is first trained for the lowest, and the
    best one in `reduction` of each goes on to the next, from the 32-bit weights again and with a fall of the
    learning rate of its own (`mpsearch.search.promotion`; of the sampler that knows costs, once it can tell,
    what is worth most for its steps: `mpsearch.search.next_training`). Share 0 calibrates and does not train.
    (1.0,) trains every policy once, in full.

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
    feature_distillation: float = 0.0
    weight_decay: float = 0.0
    low_bit_weight_decay: float = 0.0
    low_bit_decay_until: float = 1.0
    learning_rate_by_layer: bool = False
    scale_learning_rate_factor: float = 1.0
    progressive: bool = False
    freeze_oscillating: float | None = None
    ema: float | None = None
    prune: float = 0.0
    dense_sparse_dense: float = 0.0
    gradient_bits: int | None = None
    binary: Binary = "bwn"
    binary_gradient: SignGradient = "identity"
    ternary: Ternary = "twn"
    uniform: Uniform = "lsq"
    binary_activation: BinaryActivation = "rsign"
    sign_gradient: SignGradient = "clipped"
    activation: Activation = "lsq"
    calibration_samples: int = 256
    bn_samples: int = 1000
    reestimate_batch_norm: bool = True
    fold_batch_norm: bool = False
    augment: bool = False
    bfloat16: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    fidelities: tuple[float, ...] = (1.0,)
    reduction: int = 3

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "high_bit_steps", "batch_size")
        at_least(self, 2, "calibration_samples", "bn_samples")  # one sample has no variance
        at_least(self, 2, "reduction")  # with 1, every policy would be trained at every fidelity
        object.__setattr__(self, "fidelities", rising_shares(self.fidelities))
        positive(self, "learning_rate", "low_bit_learning_rate", "scale_learning_rate_factor", "temperature")
        not_negative(self, "weight_decay", "low_bit_weight_decay", "feature_distillation")
        fraction(self, "prune", "dense_sparse_dense")
        up_to_one(self, "distillation_weight", "low_bit_decay_until")
        _ = self.quantizers  # refuses unknown names
        if self.ema is not None:
            fraction(self, "ema")
        if self.freeze_oscillating is not None:
            positive(self, "freeze_oscillating")
        bits = self.gradient_bits
        if bits is not None and (type(bits) is not int or bits not in GRADIENT_BITS):
            raise ConfigError(
                f"`gradient_bits` must be a whole number from {GRADIENT_BITS[0]} to {GRADIENT_BITS[-1]}, or "
                f"left out; got {bits!r}."
            )
        if self.device not in DEVICES:
            raise ConfigError(f"`device` must be one of {', '.join(DEVICES)}; got {self.device!r}.")
        true_or_false(
            self,
            "augment",
            "bfloat16",
            "learning_rate_by_layer",
            "reestimate_batch_norm",
            "fold_batch_norm",
            "progressive",
        )

    @property
    def quantizers(self) -> QuantizerChoice:
        """The names of quantizers among the settings."""
        return QuantizerChoice(**{field.name: getattr(self, field.name) for field in fields(QuantizerChoice)})

    def steps_for(self, policy: PrecisionPolicy, share: float = 1.0) -> int:
        """How many steps that policy trains for, at a fidelity of `share`: at least one above share 0."""
        if policy.is_full_precision or share == 0:
            return 0
        low = sum(scheme.weight_bits < LOW_BITS for scheme in policy.values())
        steps = self.steps * (1 + low / len(policy)) / 2 if low else self.high_bit_steps
        return max(1, round(share * steps))

    def learning_rate_for(self, policy: PrecisionPolicy) -> float:
        """The learning rate that policy's training starts from."""
        relearns = any(scheme.weight_bits < LOW_BITS for scheme in policy.values())
        return self.low_bit_learning_rate if relearns else self.learning_rate
