"""The least and greatest cost that any policy of a space can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme

if TYPE_CHECKING:
    from mpsearch.cost.cost_model import CostModel, LayerCost


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRange:
    """Bounds of one cost over all policies of a space, in the unit of that cost."""

    least: float
    least_policy: PrecisionPolicy
    greatest: float
    greatest_policy: PrecisionPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CostExtremes:
    latency_s: CostRange
    memory_bytes: CostRange
    energy_j: CostRange


def cost_extremes(model: CostModel, groups: Sequence[Sequence[str]]) -> CostExtremes:
    """Exact: costs are sums over layers, so each group of layers is minimised by itself."""
    choices = [_Choice(model, group) for group in _partition(model.layers, groups)]

    def bounds(cost: Callable[[LayerCost], float], total: str) -> CostRange:
        least = PrecisionPolicy(dict(pair for c in choices for pair in c.best(cost, sign=1).items()))
        greatest = PrecisionPolicy(dict(pair for c in choices for pair in c.best(cost, sign=-1).items()))
        return CostRange(
            least=getattr(model.evaluate(least), total),
            least_policy=least,
            greatest=getattr(model.evaluate(greatest), total),
            greatest_policy=greatest,
        )

    return CostExtremes(
        latency_s=bounds(lambda cost: cost.latency_s, "latency_s"),
        memory_bytes=bounds(lambda cost: cost.memory_bytes, "memory_bytes"),
        energy_j=bounds(lambda cost: cost.energy_j, "energy_j"),
    )


class _Choice:
    """Layers that take one scheme together, and the schemes that they share."""

    def __init__(self, model: CostModel, layers: Sequence[str]) -> None:
        self.layers = layers
        shared = [s for s in model.schemes[layers[0]] if all(s in model.schemes[layer] for layer in layers)]
        if not shared:
            raise ConfigError(f"Layers of one group must share a scheme; {', '.join(layers)} share none.")
        self.costs: dict[Scheme, list[LayerCost]] = {
            scheme: [cost for layer in layers for cost in model.layer_costs(layer) if cost.scheme == scheme]
            for scheme in shared
        }

    def best(self, cost: Callable[[LayerCost], float], *, sign: int) -> dict[str, Scheme]:
        scheme = min(self.costs, key=lambda s: sign * sum(cost(layer) for layer in self.costs[s]))
        return dict.fromkeys(self.layers, scheme)


def _partition(layers: Sequence[str], groups: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    grouped = [layer for group in groups for layer in group]
    unknown = sorted(set(grouped) - set(layers))
    if unknown or len(set(grouped)) < len(grouped):
        raise ConfigError(
            f"Groups must name layers of the model, each once; got {[list(g) for g in groups]}."
        )
    return [
        *(group for group in groups if group),
        *([layer] for layer in layers if layer not in set(grouped)),
    ]
