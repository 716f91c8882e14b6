"""What one machine measured: the file that a search reads its latencies from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import ConfigError, FormatError, UnmeasuredError
from mpsearch.hardware.energy_table import EnergyTable, horowitz_table
from mpsearch.hardware.fingerprint import MachineFingerprint
from mpsearch.hardware.interpolation import MINIMUM_MEASUREMENTS, LatencyEstimate, LatencyModel
from mpsearch.hardware.json_fields import array, number, object_of, text, whole
from mpsearch.hardware.measurement import Measurement, RemainderMeasurement
from mpsearch.hardware.profile_file import profile_text, read_document, repair_of
from mpsearch.models.layer_shape import LayerShape
from mpsearch.precision.scheme import Scheme

__all__ = ["PROFILE_SCHEMA", "HardwareProfile", "LatencyEstimate", "Measurement", "RemainderMeasurement"]

PROFILE_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class HardwareProfile:
    """Latencies of one machine on a number of threads, with its fingerprint.

    `created`: ISO 8601 in UTC. `notes`: sentences for people, such as a warning of a noisy machine.

    Raises: ConfigError if a number is out of range or a (shape, scheme) or model occurs twice.
    """

    name: str
    fingerprint: MachineFingerprint
    threads: int
    created: str
    measurements: tuple[Measurement, ...] = ()
    remainders: tuple[RemainderMeasurement, ...] = ()
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
        self._set("_by_key", {m.key: m for m in self.measurements})
        self._set("_by_model", {r.model_fingerprint: r for r in self.remainders})
        self._set("_models", {})
        if len(self._by_key) < len(self.measurements) or len(self._by_model) < len(self.remainders):
            raise ConfigError(f"Profile {self.name!r} must hold each shape, scheme and model once.")

    _by_key: dict[tuple[LayerShape, Scheme], Measurement] = field(init=False, repr=False, compare=False)
    _by_model: dict[str, RemainderMeasurement] = field(init=False, repr=False, compare=False)
    _models: dict[tuple[str, Scheme], LatencyModel | None] = field(init=False, repr=False, compare=False)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def latency_s(self, shape: LayerShape, scheme: Scheme) -> LatencyEstimate:
        """Seconds of one call: the measured ones, or interpolated inside the measured range.

        Raises: UnmeasuredError if the shape was not measured and lies outside what was.
        """
        measured = self._by_key.get((shape, scheme))
        if measured is not None:
            return LatencyEstimate(
                latency_s=measured.latency_s, quartiles_s=measured.quartiles_s, origin="measured"
            )
        model = self._model(shape.kind, scheme)
        if model is None or not model.covers(shape):
            raise UnmeasuredError(
                f"Every layer must be measured, or lie among measured ones; profile {self.name!r} has no "
                f"{scheme} {shape}.",
                threads=self.threads,
            )
        return model.estimate(shape)

    def measured(self, shape: LayerShape, scheme: Scheme) -> Measurement | None:
        """The measurement of exactly this call, if there is one."""
        return self._by_key.get((shape, scheme))

    def remainder(self, model_fingerprint: str) -> RemainderMeasurement:
        """What a forward pass of that model takes beside its quantizable layers.

        Raises: UnmeasuredError if it was not measured.
        """
        found = self._by_model.get(model_fingerprint)
        if found is None:
            raise UnmeasuredError(
                f"What stays 32-bit in a model must be measured; profile {self.name!r} has nothing for model "
                f"{model_fingerprint}.",
                threads=self.threads,
            )
        return found

    def has_remainder(self, model_fingerprint: str) -> bool:
        return model_fingerprint in self._by_model

    def matches(self, fingerprint: MachineFingerprint) -> tuple[str, ...]:
        """How this profile's machine differs from that one, a sentence each; empty if timings carry over."""
        return self.fingerprint.differences(fingerprint)

    def adding(
        self,
        *,
        measurements: Iterable[Measurement] = (),
        remainders: Iterable[RemainderMeasurement] = (),
        notes: Iterable[str] = (),
    ) -> HardwareProfile:
        """A copy with these added; a new figure replaces the old one of the same shape, scheme or model."""
        by_key = self._by_key | {m.key: m for m in measurements}
        by_model = self._by_model | {r.model_fingerprint: r for r in remainders}
        return replace(
            self,
            measurements=tuple(by_key.values()),
            remainders=tuple(by_model.values()),
            notes=tuple(dict.fromkeys((*self.notes, *notes))),
        )

    def save(self, path: Path | str) -> None:
        """Write the profile as JSON, whole or not at all.

        Raises: StorageError if the path cannot be written.
        """
        write_atomically(Path(path), profile_text(self.to_dict()))

    @classmethod
    def load(cls, path: Path | str) -> HardwareProfile:
        """The profile in that file.

        Raises: ProfileError if the file cannot be read; FormatError if it is truncated, not a profile, or
            of a newer schema.
        """
        document = read_document(Path(path), PROFILE_SCHEMA)
        try:
            return cls.from_dict(document)
        except FormatError as error:
            raise FormatError(f"{path} is not a hardware profile. {error} {repair_of(path)}") from error

    def to_dict(self) -> dict[str, Any]:
        ordered = sorted(
            self.measurements,
            key=lambda m: (
                m.shape.kind,
                m.shape.macs,
                m.shape.weight_count,
                str(m.shape),
                m.scheme.weight_bits,
            ),
        )
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
                measurements=tuple(
                    Measurement.from_dict(entry) for entry in array(fields["measurements"], "`measurements`")
                ),
            )
        except ConfigError as error:
            raise FormatError(str(error)) from error

    def _model(self, kind: str, scheme: Scheme) -> LatencyModel | None:
        key = (kind, scheme)
        if key not in self._models:
            around = [m for m in self.measurements if m.shape.kind == kind and m.scheme == scheme]
            self._models[key] = LatencyModel(around) if len(around) >= MINIMUM_MEASUREMENTS else None
        return self._models[key]
