"""Bounds that the user puts on a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.search.objective import OBJECTIVES
from mpsearch.search.quantities import parse_size_bytes
from mpsearch.search.trial_record import Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Upper bounds on costs and a lower bound on accuracy; None where there is no bound.

    Units: bytes, seconds, joules; accuracy is a share of 1.
    """

    accuracy: float | None = None
    latency_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    memory_bytes: float | None = None
    energy_j: float | None = None

    @classmethod
    def parse(cls, texts: Mapping[str, Any]) -> Budgets:
        """From `{"memory": "60KB", "latency_p95": "400us", "energy": "5uJ", "accuracy": 0.9}`.

        Memory may be a number (bytes). A bare number of seconds or joules is refused: 400 would be
        a latency budget that bounds nothing.

        Raises: ConfigError if a name is unknown or a value is not a quantity of its kind.
        """
        parsed: dict[str, float] = {}
        for name, value in texts.items():
            if name not in OBJECTIVES:
                raise ConfigError(f"A budget must be one of {', '.join(OBJECTIVES)}; got {name!r}.")
            if value is not None:
                parsed[OBJECTIVES[name].field] = _parse_bound(name, value)
        return cls(**parsed)

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def bounds(self) -> dict[str, float]:
        """Objective name -> bound, only where there is one."""
        pairs = ((name, getattr(self, objective.field)) for name, objective in OBJECTIVES.items())
        return {name: bound for name, bound in pairs if bound is not None}

    def texts(self) -> dict[str, str | float]:
        """The inverse of `parse`, exact: 60 KB is written `60000 B` where that is its value."""
        return {
            name: bound if name == "accuracy" else f"{bound!r}{OBJECTIVES[name].unit}"
            for name, bound in self.bounds().items()
        }

    def __str__(self) -> str:
        texts = [
            f"{name} {'>=' if name == 'accuracy' else '<='} {OBJECTIVES[name].format(bound)}"
            for name, bound in self.bounds().items()
        ]
        return ", ".join(texts) or "none"

    def cost_violations(self, costs: Costs) -> dict[str, float]:
        """Objective name -> relative excess over its bound (<= 0: met), for each bounded cost."""
        return {
            name: getattr(costs, OBJECTIVES[name].field) / bound - 1
            for name, bound in self.bounds().items()
            if name != "accuracy"
        }

    def violations(self, costs: Costs, score: float) -> dict[str, float]:
        """As `cost_violations`, with the accuracy that is missing."""
        missing = {} if self.accuracy is None else {"accuracy": self.accuracy - score}
        return {**self.cost_violations(costs), **missing}

    def are_met_by(self, costs: Costs, score: float) -> bool:
        return all(excess <= 0 for excess in self.violations(costs, score).values())


def _parse_bound(name: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "memory" and is_number:
        return parse_size_bytes(f"{float(value)!r}B")
    return OBJECTIVES[name].parse(value)
