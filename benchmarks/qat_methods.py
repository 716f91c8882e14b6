"""Each quantizer beside its rival, and each switch of the recipe beside the recipe without it. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

from qat_row import Row, seeded
from qat_workloads import BENCHES, Bench

from mpsearch.precision.scheme import SCHEMES
from mpsearch.quant.quantizer_choice import QuantizerChoice
from mpsearch.training.recipe import LOW_BITS, TrialRecipe

# Family -> the scheme that feels it; the member that the others are compared with; other rivals by name.
FAMILIES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "binary": ("w1a8", "bwn", {"bwn": "binary_connect"}),
    "binary_gradient": ("w1a8", "identity", {}),
    "ternary": ("w1.58a8", "twn", {}),
    "uniform": ("w4a8", "minmax", {}),
    "binary_activation": ("w1a1", "sign", {}),
    "sign_gradient": ("w1a1", "clipped", {"clipped": "identity"}),
    "activation": ("w4a8", "minmax", {}),
}
_EXPECTED = {("binary", "bwn"), ("ternary", "ttq"), ("ternary", "seq"), ("uniform", "lsq")}
_OF_LINEAR_LAYERS = {"per_token"}  # refused by convolutions
_MODELS_OF_LINEAR_LAYERS = {"digits-mlp", "shakespeare"}

AS_IT_IS, _NONE = "as it is", "no distillation"
# What is switched on -> the settings that do so.
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "distillation alone": {"distillation_weight": 1.0},
    "distillation at temperature 4": {"temperature": 4.0},
    "feature distillation 1": {"feature_distillation": 1.0},
    "learning rate by layer": {"learning_rate_by_layer": True},
    "learning rate of scales x 0.1": {"scale_learning_rate_factor": 0.1},
    "learning rate of scales x 10": {"scale_learning_rate_factor": 10.0},
    "weight decay 0.01 below 2 bits": {"low_bit_weight_decay": 0.01},
    "weight decay 0.01 below 2 bits, first half": {"low_bit_weight_decay": 0.01, "low_bit_decay_until": 0.5},
    "progressive": {"progressive": True},
    "freeze oscillating weights": {"freeze_oscillating": 0.02},
    "average of weights, 0.98": {"ema": 0.98},
    "dense-sparse-dense 0.3": {"dense_sparse_dense": 0.3},
    "gradients of 8 bits": {"gradient_bits": 8},
    "gradients of 4 bits": {"gradient_bits": 4},
    "BatchNorm not re-estimated": {"reestimate_batch_norm": False},
    "BatchNorm folded": {"fold_batch_norm": True},
    "products in bfloat16": {"bfloat16": True},
}


def families(seeds: int) -> Iterator[Row]:
    """Every member that `QuantizerChoice` names; of slow models those alone whose order papers report."""
    known = get_type_hints(QuantizerChoice)
    for bench in BENCHES:
        for family, (scheme, standard, rivals) in FAMILIES.items():
            if (scheme == "w1a1" and not bench.has_sign_inputs) or family not in (bench.only or FAMILIES):
                continue
            members = get_args(known[family])
            ordered = {name for name in members if (family, name) in _EXPECTED}
            ordered |= {rivals.get(name, standard) for name in ordered}
            for name in members:
                if bench.is_slow and name not in ordered:
                    continue
                if name in _OF_LINEAR_LAYERS and bench.name not in _MODELS_OF_LINEAR_LAYERS:
                    continue
                rival = rivals.get(name, standard)
                yield Row(
                    table=f"{bench.name}, {family}",
                    label=name,
                    runs=seeded(bench, bench.rule(scheme), bench.settings(**{family: name}), seeds),
                    measure=bench.measure,
                    against=rival if rival != name and rival in members else None,
                    expected=(family, name) in _EXPECTED,
                )


def _rules_of_other_bits(bench: Bench, scheme: str) -> dict[str, dict[str, Any]]:
    """The rules by bits the other way round: those of 4 and 8 bits below 2, and the reverse."""
    usual = TrialRecipe()
    if SCHEMES[scheme].weight_bits < LOW_BITS:
        return {"learning rate of 4 and 8 bits": {"low_bit_learning_rate": usual.learning_rate}}
    return {
        "learning rate of bits below 2": {"learning_rate": usual.low_bit_learning_rate},
        "steps of bits below 2": {"high_bit_steps": bench.trial["steps"]},
    }


def ablations(seeds: int) -> Iterator[Row]:
    """One line a switch; distillation is compared with none, all others with the recipe as it is. Of slow
    models distillation alone.
    """
    for bench in (bench for bench in BENCHES if not bench.only):
        schemes = ("w1.58a8", "w1a1") if bench.is_slow else ("w4a8", "w1.58a8", "w1a1")
        for scheme in schemes if bench.has_sign_inputs else schemes[:1]:
            rule = bench.rule(scheme)
            table = f"{bench.name}, {rule}"
            switches = {_NONE: {"distillation_weight": 0.0}, AS_IT_IS: {}}
            if not bench.is_slow:
                switches |= SWITCHES
                switches |= {"30% of weights pruned": {"prune": 0.3}} if scheme == "w1.58a8" else {}
                switches |= _rules_of_other_bits(bench, scheme)
                switches |= {"augmented": {"augment": True}} if bench.has_augmentation else {}
            for label, changed in switches.items():
                yield Row(
                    table=table,
                    label=label,
                    runs=seeded(bench, rule, bench.settings(**changed), seeds),
                    measure=bench.measure,
                    against=None if label == _NONE else _NONE if label == AS_IT_IS else AS_IT_IS,
                    expected=label == AS_IT_IS,
                )
