"""What was timed: a step of a compiled plan, whole passes, or what remains of a model that has no plan."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.hardware.json_fields import array, number, object_of, text, whole
from mpsearch.plan.step import StepShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One step, timed while the rest of a pass ran around it; `call` steps are timed alone.

    `latency_s` is the median over `repetitions`; `p95_s` and `p99_s` are percentiles. `footprint_bytes`:
    the weights that were touched between two uses of the same ones, which decides the cache level they
    came from.

    Raises: ConfigError if a time is not finite and > 0, or percentiles are out of order.
    """

    shape: StepShape
    latency_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    repetitions: int
    footprint_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.latency_s > 0:
            raise ConfigError(
                f"`latency_s` of {self.shape} must be > 0; got {self.latency_s}. Measure again."
            )
        _check_spread(str(self.shape), self)

    def to_dict(self) -> dict[str, Any]:
        return {
            "latency_s": self.latency_s,
            **_spread_dict(self),
            "footprint_bytes": self.footprint_bytes,
            "shape": self.shape.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Measurement:
        """Raises: FormatError if it is not what `to_dict` writes."""
        fields = object_of(value, {"latency_s", *_SPREAD, "footprint_bytes", "shape"}, "A measurement")
        try:
            return cls(
                shape=StepShape.from_dict(_bounded(fields["shape"])),
                latency_s=number(fields["latency_s"], "`latency_s`"),
                **_spread_from(fields),
                footprint_bytes=whole(fields["footprint_bytes"], "`footprint_bytes`"),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainderMeasurement:
    """One forward pass of a model that runs in torch without the work of its quantizable layers.

    Raises: ConfigError if a time is not finite and >= 0, or percentiles are out of order.
    """

    model_fingerprint: str
    input_shapes: tuple[tuple[int, ...], ...]
    latency_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    repetitions: int

    def __post_init__(self) -> None:
        _check_spread(f"model {self.model_fingerprint}", self)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model_fingerprint": self.model_fingerprint,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "latency_s": self.latency_s,
            **_spread_dict(self),
        }

    @classmethod
    def from_dict(cls, value: Any) -> RemainderMeasurement:
        """Raises: FormatError if it is not what `to_dict` writes."""
        keys = {"model_fingerprint", "input_shapes", "latency_s", *_SPREAD}
        fields = object_of(value, keys, "A remainder measurement")
        shapes = [array(shape, "An input shape") for shape in array(fields["input_shapes"], "`input_shapes`")]
        try:
            return cls(
                model_fingerprint=text(fields["model_fingerprint"], "`model_fingerprint`"),
                input_shapes=tuple(tuple(whole(size, "A size") for size in shape) for shape in shapes),
                latency_s=number(fields["latency_s"], "`latency_s`"),
                **_spread_from(fields),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMeasurement:
    """How whole passes of a compiled model compare with their steps.

    latency = pass_s + break_s * float layers + sum of the steps' latencies
    p95 = latency + tail_p95 * sum of the steps' (p95 - latency), and p99 likewise

    A tail factor of 1 means that all steps are late together; the less, the more they are late by chance.
    `reference_s`: median of a fixed kernel timed alongside, which tells how fast the machine was then.

    `pass_s` is below 0 where reading the clock between the steps costs more than the call.

    Raises: ConfigError if a figure is not finite, or another than `pass_s` is below 0.
    """

    model_fingerprint: str
    pass_s: float
    break_s: float
    tail_p95: float
    tail_p99: float
    passes: int
    reference_s: float

    def __post_init__(self) -> None:
        figures = (self.break_s, self.tail_p95, self.tail_p99, self.reference_s)
        fits = all(math.isfinite(figure) and figure >= 0 for figure in figures)
        if not fits or not math.isfinite(self.pass_s) or self.passes < 1:
            raise ConfigError(
                f"Figures of whole passes must be finite and, but for `pass_s`, at least 0; got {self}."
            )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, value: Any) -> PassMeasurement:
        """Raises: FormatError if it is not what `to_dict` writes."""
        fields = object_of(value, {field.name for field in dataclasses.fields(cls)}, "A pass measurement")
        figures = ("pass_s", "break_s", "tail_p95", "tail_p99", "reference_s")
        try:
            return cls(
                model_fingerprint=text(fields["model_fingerprint"], "`model_fingerprint`"),
                passes=whole(fields["passes"], "`passes`"),
                **{name: number(fields[name], f"`{name}`") for name in figures},
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


_SPREAD = ("quartiles_s", "p95_s", "p99_s", "repetitions")


def _spread_dict(measured: Measurement | RemainderMeasurement) -> dict[str, Any]:
    return {
        "quartiles_s": list(measured.quartiles_s),
        "p95_s": measured.p95_s,
        "p99_s": measured.p99_s,
        "repetitions": measured.repetitions,
    }


def _spread_from(fields: dict[str, Any]) -> dict[str, Any]:
    low, high = (number(item, "A quartile") for item in array(fields["quartiles_s"], "`quartiles_s`", 2))
    return {
        "quartiles_s": (low, high),
        "p95_s": number(fields["p95_s"], "`p95_s`"),
        "p99_s": number(fields["p99_s"], "`p99_s`"),
        "repetitions": whole(fields["repetitions"], "`repetitions`"),
    }


def _bounded(value: Any) -> Any:
    """The value, if all its numbers are whole and of at most 64 bits; a step checks the rest."""
    if isinstance(value, dict):
        return {key: _bounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_bounded(part) for part in value]
    if isinstance(value, str | bool):
        return value
    return whole(value, "A size of a step")


def _check_spread(name: str, measured: Measurement | RemainderMeasurement) -> None:
    low, high = measured.quartiles_s
    order = (0, low, measured.latency_s, high, measured.p95_s, measured.p99_s)
    if not (all(a <= b for a, b in itertools.pairwise(order)) and math.isfinite(measured.p99_s)):
        raise ConfigError(
            f"Percentiles of {name} must be finite and in order around its median {measured.latency_s} s; "
            f"got quartiles {measured.quartiles_s}, p95 {measured.p95_s}, p99 {measured.p99_s}."
        )
    if measured.repetitions < 1:
        raise ConfigError(f"`repetitions` of {name} must be at least 1; got {measured.repetitions}.")
