"""Bounds that the user puts on a policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpsearch.search.costs import Costs
from mpsearch.search.objective import is_learnt_named, objective_named
from mpsearch.search.quantities import parse_size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Upper bounds on costs and the loss, and a lower bound on accuracy; None where there is no bound.

    `on_devices`: (`latency@pi5`, bound) and the like, of further profiles, in the order of their names.

    Units: bytes, seconds, joules; accuracy is a share of 1, the loss what the task makes of it.
    """

    accuracy: float | None = None
    loss: float | None = None
    latency_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    memory_bytes: float | None = None
    energy_j: float | None = None
    compressed_bytes: float | None = None
    on_devices: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, bounds: Mapping[str, float]) -> Budgets:
        """The inverse of `bounds`.

        Raises: ConfigError if a name is unknown.
        """
        named = {objective_named(name): bound for name, bound in bounds.items()}
        return cls(
            **{objective.field: bound for objective, bound in named.items() if objective.device is None},
            on_devices=tuple(sorted((o.name, bound) for o, bound in named.items() if o.device is not None)),
        )

    @classmethod
    def parse(cls, texts: Mapping[str, Any]) -> Budgets:
        """From `{"memory": "60KB", "latency_p95": "400us", "latency@pi5": "2ms", "accuracy": 0.9}`.

        Sizes may be numbers (bytes), a loss is one. A bare number of seconds or joules is refused: 400 would
        be a latency budget that bounds nothing.

        Raises: ConfigError if a name is unknown or a value is not a quantity of its kind.
        """
        return cls.of({name: _parse_bound(name, text) for name, text in texts.items() if text is not None})

    def __bool__(self) -> bool:
        return bool(self.bounds())

    def bounds(self) -> dict[str, float]:
        """Objective name -> bound, only where there is one."""
        own = {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "latency": self.latency_s,
            "latency_p95": self.latency_p95_s,
            "latency_p99": self.latency_p99_s,
            "memory": self.memory_bytes,
            "energy": self.energy_j,
            "compressed_size": self.compressed_bytes,
        }
        return {name: bound for name, bound in own.items() if bound is not None} | dict(self.on_devices)

    def with_bound(self, name: str, bound: float | None) -> Budgets:
        """The same but for the bound of one objective, which None lifts."""
        others = {other: value for other, value in self.bounds().items() if other != name}
        return Budgets.of(others if bound is None else {**others, name: bound})

    def texts(self) -> dict[str, str | float]:
        """The inverse of `parse`, exact: 60 KB is written `60000 B` where that is its value."""
        return {
            name: bound if name == "accuracy" else f"{bound!r}{objective_named(name).unit}"
            for name, bound in self.bounds().items()
        }

    def __str__(self) -> str:
        texts = [
            f"{name} {'>=' if name == 'accuracy' else '<='} {objective_named(name).format(bound)}"
            for name, bound in self.bounds().items()
        ]
        return ", ".join(texts) or "none"

    def cost_violations(self, costs: Costs) -> dict[str, float]:
        """Objective name -> relative excess over its bound (<= 0: met), for each bounded cost."""
        return {
            name: objective_named(name).of(costs) / bound - 1
            for name, bound in self.bounds().items()
            if not is_learnt_named(name)
        }

    def violations(self, costs: Costs, score: float, loss: float | None = None) -> dict[str, float]:
        """As `cost_violations`, with the accuracy that is missing and the relative excess of the loss.

        A loss that is not known breaks a bound on it without measure.
        """
        found = self.cost_violations(costs)
        if self.accuracy is not None:
            found["accuracy"] = self.accuracy - score
        if self.loss is not None:
            found["loss"] = math.inf if loss is None else loss / self.loss - 1
        return found

    def are_met_by(self, costs: Costs, score: float, loss: float | None = None) -> bool:
        return all(excess <= 0 for excess in self.violations(costs, score, loss).values())


def _parse_bound(name: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in {"memory", "compressed_size"} and is_number:
        return parse_size_bytes(f"{float(value)!r}B")
    return objective_named(name).parse(value)
