"""What was timed: one layer call, or what remains of a model without its layers."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.hardware.json_fields import array, number, object_of, text, whole
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme, scheme_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One call of a whole layer in the runtime: quantize the input, multiply, scale, write float32.

    `latency_s` is the median over `repetitions`. `footprint_bytes`: the weights that were touched
    between two uses of the same ones, which decides the cache level they came from.

    Raises: ConfigError if a time is not finite and > 0, or the quartiles do not enclose the median.
    """

    shape: LayerShape
    scheme: Scheme
    latency_s: float
    quartiles_s: tuple[float, float]
    repetitions: int
    footprint_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.latency_s > 0:
            raise ConfigError(
                f"`latency_s` of {self.scheme} {self.shape} must be > 0; got {self.latency_s}. Measure again."
            )
        _check_spread(f"{self.scheme} {self.shape}", self.latency_s, self.quartiles_s, self.repetitions)

    @property
    def key(self) -> tuple[LayerShape, Scheme]:
        return self.shape, self.scheme

    def to_dict(self) -> dict[str, Any]:
        return {
            "scheme": self.scheme.name,
            "latency_s": self.latency_s,
            "quartiles_s": list(self.quartiles_s),
            "repetitions": self.repetitions,
            "footprint_bytes": self.footprint_bytes,
            "shape": self.shape.to_dict(),
        }

    @classmethod
    def from_dict(cls, value: Any) -> Measurement:
        """Raises: FormatError if it is not what `to_dict` writes."""
        keys = {"scheme", "latency_s", "quartiles_s", "repetitions", "footprint_bytes", "shape"}
        fields = object_of(value, keys, "A measurement")
        try:
            return cls(
                shape=_shape(fields["shape"]),
                scheme=scheme_named(text(fields["scheme"], "`scheme`")),
                latency_s=number(fields["latency_s"], "`latency_s`"),
                quartiles_s=_quartiles(fields["quartiles_s"]),
                repetitions=whole(fields["repetitions"], "`repetitions`"),
                footprint_bytes=whole(fields["footprint_bytes"], "`footprint_bytes`"),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainderMeasurement:
    """One forward pass of a model without the work of its quantizable layers: all that stays 32-bit.

    Raises: ConfigError if a time is not finite and >= 0, or the quartiles do not enclose the median.
    """

    model_fingerprint: str
    input_shapes: tuple[tuple[int, ...], ...]
    latency_s: float
    quartiles_s: tuple[float, float]
    repetitions: int

    def __post_init__(self) -> None:
        name = f"model {self.model_fingerprint}"
        _check_spread(name, self.latency_s, self.quartiles_s, self.repetitions)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model_fingerprint": self.model_fingerprint,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "latency_s": self.latency_s,
            "quartiles_s": list(self.quartiles_s),
            "repetitions": self.repetitions,
        }

    @classmethod
    def from_dict(cls, value: Any) -> RemainderMeasurement:
        """Raises: FormatError if it is not what `to_dict` writes."""
        keys = {"model_fingerprint", "input_shapes", "latency_s", "quartiles_s", "repetitions"}
        fields = object_of(value, keys, "A remainder measurement")
        shapes = [array(shape, "An input shape") for shape in array(fields["input_shapes"], "`input_shapes`")]
        try:
            return cls(
                model_fingerprint=text(fields["model_fingerprint"], "`model_fingerprint`"),
                input_shapes=tuple(tuple(whole(size, "A size") for size in shape) for shape in shapes),
                latency_s=number(fields["latency_s"], "`latency_s`"),
                quartiles_s=_quartiles(fields["quartiles_s"]),
                repetitions=whole(fields["repetitions"], "`repetitions`"),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error


def _quartiles(value: Any) -> tuple[float, float]:
    low, high = (number(item, "A quartile") for item in array(value, "`quartiles_s`", 2))
    return low, high


def _shape(value: Any) -> LayerShape:
    fields = object_of(value, {field.name for field in dataclasses.fields(LayerShape)}, "`shape`")
    for name, size in fields.items():
        if name == "has_bias":
            if type(size) is not bool:
                raise FormatError(f"`has_bias` must be true or false; got {size!r:.80}.")
        elif name == "operator":
            text(size, "`operator`")
        else:
            for item in size if isinstance(size, list) else [size]:
                whole(item, f"`{name}`")
    return LayerShape.from_dict(fields)


def _check_spread(name: str, median_s: float, quartiles_s: tuple[float, float], repetitions: int) -> None:
    low, high = quartiles_s
    if not (0 <= low <= median_s <= high and math.isfinite(high)):
        raise ConfigError(
            f"The quartiles of {name} must enclose its median {median_s} s and be finite; got {quartiles_s}."
        )
    if repetitions < 1:
        raise ConfigError(f"`repetitions` of {name} must be at least 1; got {repetitions}.")
