"""What a policy costs, on the machine of the main profile and on further devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mpsearch.cost.cost_report import CostReport
from mpsearch.errors import ConfigError, FormatError
from mpsearch.hardware.device_name import device_name

_OF_DEVICE = ("latency_s", "latency_p95_s", "latency_p99_s", "energy_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCosts:
    """What a policy costs on a further device, named `device` as its profile is; fields as in `Costs`."""

    device: str
    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a policy costs on the profiled machine; known before training.

    `latency_s` is a median; the others are percentiles. `compressed_bytes` is an estimate (see
    `compressed_weights`), None where the run knows none. `devices`: the same on each further device, in the
    order in which their profiles were given.
    """

    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    memory_bytes: int
    energy_j: float
    compressed_bytes: int | None = None
    devices: tuple[DeviceCosts, ...] = ()

    @property
    def device_names(self) -> tuple[str, ...]:
        return tuple(costs.device for costs in self.devices)

    def on(self, device: str) -> DeviceCosts:
        """Raises: FormatError if nothing is known of that device."""
        for costs in self.devices:
            if costs.device == device:
                return costs
        raise FormatError(
            f"Costs must name every device of their run; {device!r} is not among "
            f"{', '.join(self.device_names) or 'no further ones'}. Restore the file that is of another run."
        )

    @classmethod
    def of(cls, report: CostReport, on_devices: Mapping[str, CostReport] | None = None) -> Costs:
        """The totals of a report, and of those of further devices."""
        return cls(
            **{name: getattr(report, name) for name in _OF_DEVICE},
            memory_bytes=report.memory_bytes,
            compressed_bytes=report.compressed_bytes,
            devices=tuple(
                DeviceCosts(device=device, **{name: getattr(further, name) for name in _OF_DEVICE})
                for device, further in (on_devices or {}).items()
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON object, with `devices` where there are further ones; `from_dict` is its inverse."""
        fields = asdict(self)
        devices = {costs.pop("device"): costs for costs in fields.pop("devices")}
        if self.compressed_bytes is None:
            fields.pop("compressed_bytes")
        return {**fields, "devices": devices} if devices else fields

    @classmethod
    def from_dict(cls, fields: Any) -> Costs:
        """Raises: FormatError if it is not an object of the costs."""
        try:
            return cls(
                **{name: _cost(fields[name]) for name in _OF_DEVICE},
                memory_bytes=round(_cost(fields["memory_bytes"])),
                compressed_bytes=round(_cost(fields["compressed_bytes"]))
                if "compressed_bytes" in fields
                else None,
                devices=tuple(
                    DeviceCosts(
                        device=device_name(device), **{name: _cost(costs[name]) for name in _OF_DEVICE}
                    )
                    for device, costs in fields.get("devices", {}).items()
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ConfigError) as error:
            raise FormatError(
                f"Costs must be numbers named memory_bytes, {', '.join(_OF_DEVICE)}, and the latter of each "
                f"of `devices`; got {fields!r:.200}."
            ) from error


def _cost(value: Any) -> float:
    """Raises: ValueError if it is no finite number of at least 0."""
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"a cost must be finite and at least 0; got {number}")
    return number
