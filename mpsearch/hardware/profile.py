"""What one machine measured: the file that a search reads its latencies from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import ConfigError, FormatError, UnmeasuredError
from mpsearch.hardware.energy_table import EnergyTable, horowitz_table
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.interpolation import (
    MINIMUM_MEASUREMENTS,
    LatencyEstimate,
    LatencyModel,
    interpolation_key,
)
from mpsearch.hardware.json_fields import array, number, object_of, text, whole
from mpsearch.hardware.measurement import Measurement, PassMeasurement, RemainderMeasurement
from mpsearch.hardware.profile_file import profile_text, read_document, repair_of
from mpsearch.plan.step import StepShape

__all__ = [
    "PROFILE_SCHEMA",
    "HardwareProfile",
    "LatencyEstimate",
    "Measurement",
    "PassMeasurement",
    "RemainderMeasurement",
]

PROFILE_SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class HardwareProfile:
    """Latencies of one machine on a number of threads, with its fingerprint.

    `created`: ISO 8601 in UTC. `notes`: sentences for people, such as a warning of a noisy machine.

    Raises: ConfigError if a number is out of range or a step or model occurs twice.
    """

    name: str
    fingerprint: MachineFingerprint
    threads: int
    created: str
    measurements: tuple[Measurement, ...] = ()
    remainders: tuple[RemainderMeasurement, ...] = ()
    passes: tuple[PassMeasurement, ...] = ()
    memory_bandwidth_bytes_per_s: float
    energy: EnergyTable = field(default_factory=horowitz_table)
    notes: tuple[str, ...] = ()
    schema: int = PROFILE_SCHEMA

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"`threads` of a profile must be at least 1; got {self.threads}.")
        bandwidth = self.memory_bandwidth_bytes_per_s
        if not (math.isfinite(bandwidth) and bandwidth > 0):
            raise ConfigError(f"`memory_bandwidth_bytes_per_s` must be finite and > 0; got {bandwidth}.")
        self._set("_by_shape", {m.shape: m for m in self.measurements})
        self._set("_remainder_of", {r.model_fingerprint: r for r in self.remainders})
        self._set("_passes_of", {p.model_fingerprint: p for p in self.passes})
        self._set("_models", {})
        tables = (
            (self._by_shape, self.measurements),
            (self._remainder_of, self.remainders),
            (self._passes_of, self.passes),
        )
        if any(len(table) < len(entries) for table, entries in tables):
            raise ConfigError(f"Profile {self.name!r} must hold each step and model once.")

    _by_shape: dict[StepShape, Measurement] = field(init=False, repr=False, compare=False)
    _remainder_of: dict[str, RemainderMeasurement] = field(init=False, repr=False, compare=False)
    _passes_of: dict[str, PassMeasurement] = field(init=False, repr=False, compare=False)
    _models: dict[tuple[str, str, str], LatencyModel | None] = field(init=False, repr=False, compare=False)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def estimate(self, shape: StepShape) -> LatencyEstimate:
        """Seconds of one step: the measured ones, or interpolated inside the measured range.

        Raises: UnmeasuredError if the step was not measured and lies outside what was.
        """
        measured = self._by_shape.get(shape)
        if measured is not None:
            return LatencyEstimate(
                latency_s=measured.latency_s,
                quartiles_s=measured.quartiles_s,
                p95_s=measured.p95_s,
                p99_s=measured.p99_s,
                origin="measured",
            )
        model = self._model(interpolation_key(shape))
        if model is None or not model.covers(shape):
            raise UnmeasuredError(
                f"Every step must be measured, or lie among measured ones; profile {self.name!r} has no "
                f"{shape}.",
                threads=self.threads,
            )
        return model.estimate(shape)

    def measured(self, shape: StepShape) -> Measurement | None:
        """The measurement of exactly this step, if there is one."""
        return self._by_shape.get(shape)

    def remainder(self, model_fingerprint: str) -> RemainderMeasurement:
        """What a forward pass of that model takes in torch beside its quantizable layers.

        Raises: UnmeasuredError if it was not measured.
        """
        found = self._remainder_of.get(model_fingerprint)
        if found is None:
            raise UnmeasuredError(
                f"What stays 32-bit in a model must be measured; profile {self.name!r} has nothing for model "
                f"{model_fingerprint}.",
                threads=self.threads,
            )
        return found

    def has_remainder(self, model_fingerprint: str) -> bool:
        return model_fingerprint in self._remainder_of

    def whole_passes(self, model_fingerprint: str) -> PassMeasurement:
        """Whole passes of that model; for another, the median of each figure over the measured models.

        Raises: UnmeasuredError if no passes were measured at all.
        """
        found = self._passes_of.get(model_fingerprint)
        if found is not None:
            return found
        if not self.passes:
            raise UnmeasuredError(
                f"Whole passes must be measured; profile {self.name!r} has none of any model.",
                threads=self.threads,
            )
        figures = ("pass_s", "break_s", "tail_p95", "tail_p99", "reference_s")
        return PassMeasurement(
            model_fingerprint=model_fingerprint,
            passes=sum(measured.passes for measured in self.passes),
            **{name: median(getattr(measured, name) for measured in self.passes) for name in figures},
        )

    def has_whole_passes(self, model_fingerprint: str) -> bool:
        return model_fingerprint in self._passes_of

    def matches(self, fingerprint: MachineFingerprint) -> tuple[str, ...]:
        """How this profile's machine differs from that one, a sentence each; empty if timings carry over."""
        return self.fingerprint.differences(fingerprint)

    def adding(
        self,
        *,
        measurements: Iterable[Measurement] = (),
        remainders: Iterable[RemainderMeasurement] = (),
        passes: Iterable[PassMeasurement] = (),
        notes: Iterable[str] = (),
    ) -> HardwareProfile:
        """A copy with these added; a new figure replaces the old one of the same step or model."""
        by_shape = self._by_shape | {m.shape: m for m in measurements}
        remainder_of = self._remainder_of | {r.model_fingerprint: r for r in remainders}
        passes_of = self._passes_of | {p.model_fingerprint: p for p in passes}
        return replace(
            self,
            measurements=tuple(by_shape.values()),
            remainders=tuple(remainder_of.values()),
            passes=tuple(passes_of.values()),
            notes=tuple(dict.fromkeys((*self.notes, *notes))),
        )

    def without(self, shapes: Container[StepShape]) -> HardwareProfile:
        """A copy that never measured these."""
        return replace(self, measurements=tuple(m for m in self.measurements if m.shape not in shapes))

    def save(self, path: Path | str) -> None:
        """Write the profile as JSON, whole or not at all.

        Raises: StorageError if the path cannot be written.
        """
        write_atomically(Path(path), profile_text(self.to_dict()))

    @classmethod
    def load(cls, path: Path | str) -> HardwareProfile:
        """The profile in that file.

        Raises: ProfileError if the file cannot be read; FormatError if it is truncated, not a profile, or
            of another schema.
        """
        document = read_document(Path(path), PROFILE_SCHEMA)
        try:
            return cls.from_dict(document)
        except FormatError as error:
            raise FormatError(f"{path} is not a hardware profile. {error} {repair_of(path)}") from error

    def to_dict(self) -> dict[str, Any]:
        ordered = sorted(self.measurements, key=lambda m: (*interpolation_key(m.shape), str(m.shape)))
        return {
            "schema": self.schema,
            "name": self.name,
            "created": self.created,
            "threads": self.threads,
            "fingerprint": self.fingerprint.to_dict(),
            "memory_bandwidth_bytes_per_s": self.memory_bandwidth_bytes_per_s,
            "energy": self.energy.to_dict(),
            "notes": list(self.notes),
            "remainders": [r.to_dict() for r in sorted(self.remainders, key=lambda r: r.model_fingerprint)],
            "passes": [p.to_dict() for p in sorted(self.passes, key=lambda p: p.model_fingerprint)],
            "measurements": [m.to_dict() for m in ordered],
        }

    @classmethod
    def from_dict(cls, value: Any) -> HardwareProfile:
        """Raises: FormatError if it is not what `to_dict` writes."""
        keys = {field.name for field in dataclasses.fields(cls) if field.init}
        fields = object_of(value, keys, "A profile")
        try:
            return cls(
                schema=whole(fields["schema"], "`schema`"),
                name=text(fields["name"], "`name`"),
                created=text(fields["created"], "`created`"),
                threads=whole(fields["threads"], "`threads`"),
                fingerprint=MachineFingerprint.from_dict(fields["fingerprint"]),
                memory_bandwidth_bytes_per_s=number(fields["memory_bandwidth_bytes_per_s"], "The bandwidth"),
                energy=EnergyTable.from_dict(fields["energy"]),
                notes=tuple(text(note, "A note") for note in array(fields["notes"], "`notes`")),
                remainders=tuple(
                    RemainderMeasurement.from_dict(entry)
                    for entry in array(fields["remainders"], "`remainders`")
                ),
                passes=tuple(
                    PassMeasurement.from_dict(entry) for entry in array(fields["passes"], "`passes`")
                ),
                measurements=tuple(
                    Measurement.from_dict(entry) for entry in array(fields["measurements"], "`measurements`")
                ),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error

    def _model(self, key: tuple[str, str, str]) -> LatencyModel | None:
        if key not in self._models:
            around = [m for m in self.measurements if interpolation_key(m.shape) == key]
            self._models[key] = LatencyModel(around) if len(around) >= MINIMUM_MEASUREMENTS else None
        return self._models[key]
