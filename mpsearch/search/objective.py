"""What a search can optimise, and what a space with its budgets asks of a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mpsearch.errors import ConfigError
from mpsearch.search.quantities import (
    format_duration,
    format_energy,
    format_size,
    parse_duration_s,
    parse_energy_j,
    parse_fraction,
    parse_size_bytes,
)

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One axis of the front.

    `field` is the key in tables and JSON, with its unit in its name; `unit` is that unit (1: none).
    """

    name: str
    field: str
    direction: Direction
    unit: str

    @property
    def sign(self) -> float:
        """Factor that turns a value into one to be minimised."""
        return -1.0 if self.direction == "maximize" else 1.0

    def format(self, value: float) -> str:
        """The value as a person reads it."""
        return _FORMATS[self.unit](value)

    def parse(self, text: Any) -> float:
        """The inverse of `format`.

        Raises: ConfigError if it is no quantity of this kind.
        """
        return _PARSERS[self.unit](text)


_FORMATS = {
    "1": lambda value: f"{100 * value:.2f}%",
    "s": format_duration,
    "B": format_size,
    "J": format_energy,
}

_PARSERS: dict[str, Callable[[Any], float]] = {
    "1": parse_fraction,
    "s": parse_duration_s,
    "B": parse_size_bytes,
    "J": parse_energy_j,
}

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(name="accuracy", field="accuracy", direction="maximize", unit="1"),
        Objective(name="latency", field="latency_s", direction="minimize", unit="s"),
        Objective(name="latency_p95", field="latency_p95_s", direction="minimize", unit="s"),
        Objective(name="latency_p99", field="latency_p99_s", direction="minimize", unit="s"),
        Objective(name="memory", field="memory_bytes", direction="minimize", unit="B"),
        Objective(name="energy", field="energy_j", direction="minimize", unit="J"),
    )
}

COSTS: tuple[Objective, ...] = tuple(o for o in OBJECTIVES.values() if o.direction == "minimize")


def first_cost(objectives: Sequence[Objective]) -> Objective:
    """The cost that a picture shows unless it is told another: the first of `objectives`, else latency."""
    return next((o for o in objectives if o.direction == "minimize"), OBJECTIVES["latency"])


def objectives_named(names: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives of those names, in that order.

    Raises: ConfigError if one is unknown or named twice, or accuracy is not among them.
    """
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise ConfigError(f"An objective must be one of {', '.join(OBJECTIVES)}; got {unknown[0]!r}.")
    if len(set(names)) != len(names):
        raise ConfigError(f"Each objective must be named once; got {', '.join(names)}.")
    if "accuracy" not in names:
        raise ConfigError(
            f"`objectives` must hold accuracy, the only one that must be learnt; got {list(names)}. "
            "For costs alone, `mpsearch plan` prints the cheapest policies."
        )
    return tuple(OBJECTIVES[name] for name in names)


def minimised(points: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """Points (P, M) in natural units, with the maximised columns negated."""
    signed: np.ndarray = points * np.array([objective.sign for objective in objectives])
    return signed
