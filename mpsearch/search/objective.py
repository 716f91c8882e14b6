"""What a search can optimise, and what a space with its budgets asks of a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mpsearch.errors import ConfigError
from mpsearch.hardware.device_name import device_name
from mpsearch.pareto.hypervolume import MAX_OBJECTIVES
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.quantities import (
    format_duration,
    format_energy,
    format_number,
    format_size,
    parse_duration_s,
    parse_energy_j,
    parse_fraction,
    parse_number,
    parse_size_bytes,
)

if TYPE_CHECKING:
    from mpsearch.search.costs import Costs
    from mpsearch.search.trial_record import TrialRecord

Direction = Literal["maximize", "minimize"]
AT = "@"  # latency@pi5


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One axis of the front.

    `field` is the key in tables and JSON, with its unit in its name; `unit` is that unit (1: a share of 1,
    nothing: the task's own). `device` is the profile that it is of, None where that is the search's main one:
    `latency@pi5`, `latency_s@pi5`. One that `is_learnt` is known of a policy once it was trained, the others
    before.
    """

    name: str
    field: str
    direction: Direction
    unit: str
    device: str | None = None
    is_learnt: bool = False

    @property
    def kind(self) -> str:
        """The name without the device: what `latency` and `latency@pi5` share."""
        return self.name.partition(AT)[0]

    @property
    def attribute(self) -> str:
        """The field without the device, as costs of one machine name it."""
        return self.field.partition(AT)[0]

    @property
    def sign(self) -> float:
        """Factor that turns a value into one to be minimised."""
        return -1.0 if self.direction == "maximize" else 1.0

    def of(self, scored: TrialRecord | Costs) -> float:
        """The value of a trial, or of what a policy costs; NaN where there is none.

        Raises: FormatError if nothing is known of the device.
        """
        holder = scored if self.device is None else scored.on(self.device)
        value: float | None = getattr(holder, self.attribute)
        return math.nan if value is None else value

    def on(self, device: str) -> Objective:
        """The same cost on another device."""
        return replace(
            self, name=f"{self.kind}{AT}{device}", field=f"{self.attribute}{AT}{device}", device=device
        )

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
    "": format_number,
    "s": format_duration,
    "B": format_size,
    "J": format_energy,
}

_PARSERS: dict[str, Callable[[Any], float]] = {
    "1": parse_fraction,
    "": parse_number,
    "s": parse_duration_s,
    "B": parse_size_bytes,
    "J": parse_energy_j,
}

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(name="accuracy", field="accuracy", direction="maximize", unit="1", is_learnt=True),
        Objective(name="latency", field="latency_s", direction="minimize", unit="s"),
        Objective(name="latency_p95", field="latency_p95_s", direction="minimize", unit="s"),
        Objective(name="latency_p99", field="latency_p99_s", direction="minimize", unit="s"),
        Objective(name="memory", field="memory_bytes", direction="minimize", unit="B"),
        Objective(name="energy", field="energy_j", direction="minimize", unit="J"),
        Objective(name="compressed_size", field="compressed_bytes", direction="minimize", unit="B"),
        Objective(name="loss", field="loss", direction="minimize", unit="", is_learnt=True),
    )
}

COMPRESSED_SIZE = OBJECTIVES["compressed_size"]
LEARNT: tuple[Objective, ...] = tuple(o for o in OBJECTIVES.values() if o.is_learnt)
# What every run knows; the compressed size only one whose baseline's weights were compressed.
COSTS: tuple[Objective, ...] = tuple(
    o for o in OBJECTIVES.values() if not o.is_learnt and o is not COMPRESSED_SIZE
)
OF_DEVICES: tuple[Objective, ...] = tuple(cost for cost in COSTS if cost.unit in {"s", "J"})


def costs_on(devices: Iterable[str], *, is_compressed: bool = False) -> tuple[Objective, ...]:
    """All costs: those of the main profile, then of each further device what differs there.

    `is_compressed`: whether the compressed size is known too.
    """
    own = (*COSTS, COMPRESSED_SIZE) if is_compressed else COSTS
    return (*own, *(cost.on(device) for device in devices for cost in OF_DEVICES))


def all_objectives(devices: Iterable[str], *, is_compressed: bool = True) -> dict[str, Objective]:
    """Name -> accuracy, all costs, of the main profile and of each further device, and loss."""
    accuracy, loss = LEARNT
    found = (accuracy, *costs_on(devices, is_compressed=is_compressed), loss)
    return {objective.name: objective for objective in found}


def learnt_of(objectives: Iterable[Objective]) -> Objective | None:
    """The one that training tells, None where all are known before."""
    return next((objective for objective in objectives if objective.is_learnt), None)


def is_learnt_named(name: str) -> bool:
    """Whether an objective or budget of that name is known only once a policy was trained."""
    return any(objective.name == name for objective in LEARNT)


def objective_named(name: str) -> Objective:
    """`latency`, or `latency@pi5` for the profile of that name.

    Raises: ConfigError if there is no such objective.
    """
    kind, at, device = name.partition(AT)
    if not at and kind in OBJECTIVES:
        return OBJECTIVES[kind]
    known = {cost.name: cost for cost in OF_DEVICES}
    if at and kind in known:
        return known[kind].on(device_name(device))
    raise ConfigError(
        f"An objective or budget must be one of {', '.join(OBJECTIVES)}, or {', '.join(known)} with the name "
        f"of a further profile ({OF_DEVICES[0].on('NAME').name}); got {name!r:.100}."
        f"{did_you_mean(kind, known if at else OBJECTIVES)}"
    )


def first_cost(objectives: Sequence[Objective]) -> Objective:
    """The cost that a picture shows unless it is told another: the first of `objectives`, else latency."""
    return next((o for o in objectives if not o.is_learnt), OBJECTIVES["latency"])


def first_learnt(objectives: Sequence[Objective]) -> Objective:
    """What a picture shows upwards unless it is told another: the learnt one, else accuracy."""
    return learnt_of(objectives) or OBJECTIVES["accuracy"]


def objectives_named(names: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives of those names, in that order.

    Raises: ConfigError if there is none, one is unknown or named twice, two are learnt, or they are too many.
    """
    objectives = tuple(objective_named(name) for name in names)
    if len(set(names)) != len(names):
        raise ConfigError(f"Each objective must be named once; got {', '.join(names)}.")
    if not names:
        raise ConfigError(f"`objectives` must name at least one of {', '.join(OBJECTIVES)}; got none.")
    if sum(objective.is_learnt for objective in objectives) > 1:
        raise ConfigError(
            f"`objectives` must hold accuracy or loss, not both: they are one trade-off; got {list(names)}. "
            "Make one of them a budget."
        )
    if len(names) > MAX_OBJECTIVES:
        raise ConfigError(
            f"A search must have at most {MAX_OBJECTIVES} objectives; got {len(names)}: {', '.join(names)}. "
            "Make some of them budgets: a budget counts as none."
        )
    return objectives


def minimised(points: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """Points (P, M) in natural units, with the maximised columns negated."""
    signed: np.ndarray = points * np.array([objective.sign for objective in objectives])
    return signed
