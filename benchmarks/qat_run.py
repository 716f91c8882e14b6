"""What one training run of `benchmarks/qat.py` is, and the key under which its result is kept. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme, scheme_named
from mpsearch.training.recipe import LOW_BITS, TrialRecipe

# Raise a number when the same settings would train to other weights, by more than a change of rounding; its
# runs are then made again. `trial` stands for all runs, `binary: bwn` for those of that quantizer.
VERSIONS: Mapping[str, int] = {"trial": 1, "binary_activation: sign": 2, "activation: ternary": 2}

# Settings that say how a run is searched or where it is computed, not what it trains to.
_NO_MATTER = ("fidelities", "reduction", "device")
# What a trial did before a setting for it was there: such a value adds nothing to a key.
_AS_BEFORE = {"reestimate_batch_norm": True, "binary_gradient": "identity"}
_LOW_BIT_ONLY = ("steps", "low_bit_learning_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A task and its arguments, under a short name for tables."""

    name: str
    task: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Which scheme each layer of a model takes, said without knowing the layers.

    Either all layers take `inner`, but the first, the last and those that match the glob `held` take `ends`,
    where it is given; or the policy is the random one of number `draw` of a search space, by its name.
    """

    inner: str | None = None
    ends: str | None = None
    held: str | None = None
    space: str | None = None
    draw: int | None = None

    def __str__(self) -> str:
        if self.draw is not None:
            return f"random {self.draw}"
        if self.ends is None:
            return f"all {self.inner}"
        return f"{self.inner}, ends {'' if self.held is None else f'and {self.held} '}{self.ends}"

    def policy(self, layers: Sequence[str]) -> PrecisionPolicy:
        """Layers in the order in which the model calls them."""
        chosen = dict.fromkeys(layers, str(self.inner))
        if self.ends is not None:
            held = () if self.held is None else (name for name in layers if fnmatchcase(name, str(self.held)))
            chosen |= dict.fromkeys((layers[0], layers[-1], *held), self.ends)
        return PrecisionPolicy(chosen)

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """Those that layers may take, each once."""
        if self.draw is not None:
            return tuple(SCHEMES.values())
        return tuple(scheme_named(name) for name in (self.inner, self.ends) if name is not None)


def uniform(scheme: str) -> PolicyRule:
    return PolicyRule(inner=scheme)


def inner(scheme: str, held: str | None = None) -> PolicyRule:
    return PolicyRule(inner=scheme, ends="w8a8", held=held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fine-tune of one policy. `repeat` tells runs apart that must come out alike."""

    workload: Workload
    rule: PolicyRule
    settings: Mapping[str, Any]
    share: float = 1.0
    seed: int = 0
    repeat: int = 0

    @property
    def recipe(self) -> TrialRecipe:
        return TrialRecipe(**self.settings)

    @property
    def is_low_bit(self) -> bool:
        """Whether the recipe's `steps` count, and not its `high_bit_steps`."""
        return any(scheme.weight_bits < LOW_BITS for scheme in self.rule.schemes)

    @property
    def most_steps(self) -> int:
        """What the recipe gives a policy of such bits: one with few layers below 2 bits takes fewer."""
        return self.recipe.steps if self.is_low_bit else self.recipe.high_bit_steps

    @property
    def key(self) -> str:
        """Sixteen hex digits of all that decides what the run trains to, the baseline's weights excepted.

        Quantizers and rates of families that no layer takes do not enter; nor do switches that are off, so
        that a new one leaves the keys of runs without it as they were.
        """
        matters = relevant_settings(self.recipe, self.rule.schemes)
        quantizers = [f"{name}: {value}" for name, value in matters.items()]
        parts = {
            "task": self.workload.task,
            "args": dict(self.workload.args),
            "rule": asdict(self.rule),
            "recipe": matters,
            "share": self.share,
            "seed": self.seed,
            "repeat": self.repeat,
            "versions": {name: VERSIONS.get(name, 1) for name in ("trial", *quantizers)},
        }
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        text = f"{self.workload.name}; {self.rule}; {shown}"
        return text + (f"; share {self.share:g}" if self.share != 1 else "") + f"; seed {self.seed}"


def relevant_settings(recipe: TrialRecipe, schemes: Sequence[Scheme]) -> dict[str, Any]:
    """The settings of a recipe that layers of those schemes can feel, switches that are off left out."""
    low = any(scheme.weight_bits < LOW_BITS for scheme in schemes)
    below = [scheme for scheme in schemes if not scheme.is_full_precision]
    felt = {
        "binary": any(scheme.weight_bits == 1 for scheme in below),
        "binary_gradient": any(scheme.weight_bits == 1 for scheme in below),
        "ternary": any(1 < scheme.weight_bits < LOW_BITS for scheme in below),
        "uniform": any(scheme.weight_bits >= LOW_BITS for scheme in below),
        "binary_activation": any(scheme.activation_bits == 1 for scheme in below),
        "sign_gradient": any(scheme.activation_bits == 1 for scheme in below),
        "activation": any(scheme.activation_bits == 8 for scheme in below),
        "high_bit_steps": not low,
        **dict.fromkeys(_LOW_BIT_ONLY, low),
        **dict.fromkeys(_NO_MATTER, False),
    }
    return {
        name: value
        for name, value in asdict(recipe).items()
        if felt.get(name, True) and not _adds_nothing(name, value)
    }


def _adds_nothing(name: str, value: Any) -> bool:
    return value == _AS_BEFORE[name] if name in _AS_BEFORE else not value
