"""The effects of the layers as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpsearch.search.layer_effects import ChoiceVerdict, JointEffect, LayerEffect, LayerEffects
from mpsearch.search.run import Run

EXPLAIN_SCHEMA = 1


def explain_json(run: Run, effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> dict[str, Any]:
    """What `mpsearch explain --json` prints of these choices; accuracies are shares of 1.

    {
      "schema": 1, "run", "tolerance",
      "reference": {"trial" (or null), "policy": {layer: scheme}, "accuracy", "latency_s", "memory_bytes",
        "energy_j"},
      "choices": [{"name", "layers", "reference", "reference_trials", "can_go_to" (or null), "not_below" (or
        null), "effects": [{"scheme", "accuracy_change", "accuracy_change_interval": [low, high] of 95%,
        "retrained_interval": [low, high] that a training of this one change falls within, "verdict": "safe" |
        "unclear" | "costly", "trials", "trials_needed" (or null), "latency_saved_s",
        "memory_saved_bytes", "energy_saved_j"}, lowest precision first]}],
      "together": {"policy", "trial" (or null), "accuracy_change", "accuracy_change_interval",
        "latency_saved_s", "memory_saved_bytes", "energy_saved_j"} or null,
      "pinned": {layer: scheme},
      "fit": {"trials", "failed", "samples", "residual", "sampling", "spread", "explained",
        "rank_correlation", "scale", "warning" (or null)}
    }

    Beside each "latency_saved_s" stands "latency_saved_s@NAME" of each further device.
    `accuracy_change` is negative where accuracy is lost; what is saved is positive where it is cheaper.
    """
    costs = effects.reference_costs
    joint, fit = effects.together, effects.fit
    return {
        "schema": EXPLAIN_SCHEMA,
        "run": str(run.path),
        "tolerance": effects.tolerance,
        "reference": {
            "trial": effects.reference_trial,
            "policy": effects.reference.names(),
            "width": effects.reference.width,
            "accuracy": effects.reference_accuracy,
            "latency_s": costs.latency_s,
            "memory_bytes": costs.memory_bytes,
            "energy_j": costs.energy_j,
        },
        "choices": [_choice(choice) for choice in choices],
        "together": None
        if joint is None
        else {
            "policy": joint.policy.names(),
            "trial": joint.trial,
            "accuracy_change": joint.accuracy_change,
            "accuracy_change_interval": list(joint.interval),
            "latency_saved_s": joint.latency_saved_s,
            "memory_saved_bytes": joint.memory_saved_bytes,
            "energy_saved_j": joint.energy_saved_j,
            **_saved_on(joint),
        },
        "pinned": {layer: scheme.name for layer, scheme in effects.pinned.items()},
        "fit": {name: getattr(fit, name) for name in fit.__slots__} | {"warning": fit.warning},
    }


def _choice(choice: ChoiceVerdict) -> dict[str, Any]:
    return {
        "name": choice.choice,
        "layers": list(choice.layers),
        "reference": choice.reference.name,
        "reference_trials": choice.reference_trials,
        "can_go_to": None if choice.can_go_to is None else choice.can_go_to.scheme.name,
        "not_below": None if choice.not_below is None else choice.not_below.name,
        "effects": [_effect(effect) for effect in choice.effects],
    }


def _effect(effect: LayerEffect) -> dict[str, Any]:
    return {
        "scheme": effect.scheme.name,
        "accuracy_change": effect.accuracy_change,
        "accuracy_change_interval": list(effect.interval),
        "retrained_interval": list(effect.retrained_interval),
        "verdict": effect.verdict,
        "trials": effect.trials,
        "trials_needed": effect.trials_needed,
        "latency_saved_s": effect.latency_saved_s,
        "memory_saved_bytes": effect.memory_saved_bytes,
        "energy_saved_j": effect.energy_saved_j,
        **_saved_on(effect),
    }


def _saved_on(effect: LayerEffect | JointEffect) -> dict[str, float]:
    return {f"latency_saved_s@{device}": saved_s for device, saved_s in effect.latency_saved_on.items()}
