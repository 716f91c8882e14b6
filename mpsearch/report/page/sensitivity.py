"""What each layer loses and saves at each precision, or why the trials cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mpsearch.errors import RunError
from mpsearch.report.page.trial_columns import rounded
from mpsearch.search.layer_effects import LayerEffect, LayerEffects, layer_effects
from mpsearch.search.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """`effects` where the trials tell something, else `missing`, a sentence that says what is needed."""

    effects: LayerEffects | None
    missing: str = ""

    @classmethod
    def of(cls, run: Run) -> Sensitivity:
        try:
            return cls(effects=layer_effects(run))
        except RunError as error:  # too few trials, or nothing to choose
            return cls(effects=None, missing=str(error))

    def to_json(self, layers: tuple[str, ...]) -> dict[str, Any] | None:
        """Costs in base units; layers by their place in the page's order; None without effects."""
        if self.effects is None:
            return None
        place = {layer: number for number, layer in enumerate(layers)}
        return {
            "reference_trial": self.effects.reference_trial,
            "tolerance": self.effects.tolerance,
            "rows": [_row(effect, place) for effect in self.effects.effects],
        }


def _row(effect: LayerEffect, place: dict[str, int]) -> dict[str, Any]:
    return {
        "choice": effect.choice,
        "layers": [place[layer] for layer in effect.layers],
        "scheme": effect.scheme.name,
        "change": rounded(effect.accuracy_change),
        "low": rounded(effect.interval[0]),
        "high": rounded(effect.interval[1]),
        "retrained": [rounded(end) for end in effect.retrained_interval],
        "trials": effect.trials,
        "latency": rounded(effect.latency_saved_s),
        "memory": effect.memory_saved_bytes,
        "verdict": effect.verdict,
    }
