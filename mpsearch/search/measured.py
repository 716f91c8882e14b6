"""Latencies of a run's trials as they were measured, end to end, on some machine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import regular_content
from mpsearch.errors import FormatError
from mpsearch.search.stored_json import parsed_json

MEASURED_SCHEMA = 1


_QUARTILES = ("quartiles_s", "torch_fp32_quartiles_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLatency:
    """Whole passes of one trial's packed model, one sample at a time, beside PyTorch at 32 bits.

    `latency_s` and `torch_fp32_latency_s` are medians, timed in turns; `agreement` is the share of validation
    samples on which the packed model answers as the trial did, None where that was not compared. `machine`
    is the processor, `created` ISO 8601, UTC.

    Raises: FormatError if a latency is not a positive number, or the agreement no share.
    """

    number: int
    latency_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    torch_fp32_latency_s: float
    torch_fp32_quartiles_s: tuple[float, float]
    repetitions: int
    threads: int
    machine: str
    isa: str
    is_compiled: bool
    agreement: float | None
    created: str

    def __post_init__(self) -> None:
        for name in ("latency_s", "p95_s", "p99_s", "torch_fp32_latency_s", *_QUARTILES):
            value = getattr(self, name)
            parts = value if name in _QUARTILES else (value,)
            if not all(math.isfinite(part) and part > 0 for part in parts):
                raise FormatError(
                    f"`{name}` of trial {self.number} must be positive; got {value}. Measure again."
                )
        if self.agreement is not None and not 0 <= self.agreement <= 1:
            raise FormatError(
                f"`agreement` of trial {self.number} must be a share from 0 to 1; got {self.agreement}. "
                "Measure again."
            )

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        return {"schema": MEASURED_SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, fields: Any) -> MeasuredLatency:
        """Raises: FormatError if it is not what `to_dict` writes."""
        if not isinstance(fields, Mapping) or fields.get("schema") != MEASURED_SCHEMA:
            raise FormatError(
                f"A measured latency must be a JSON object of schema {MEASURED_SCHEMA}; got {fields!r:.200}."
            )
        try:
            agreement = fields["agreement"]
            return cls(
                number=int(fields["number"]),
                latency_s=float(fields["latency_s"]),
                quartiles_s=_pair(fields["quartiles_s"]),
                p95_s=float(fields["p95_s"]),
                p99_s=float(fields["p99_s"]),
                torch_fp32_latency_s=float(fields["torch_fp32_latency_s"]),
                torch_fp32_quartiles_s=_pair(fields["torch_fp32_quartiles_s"]),
                repetitions=int(fields["repetitions"]),
                threads=int(fields["threads"]),
                machine=str(fields["machine"]),
                isa=str(fields["isa"]),
                is_compiled=bool(fields["is_compiled"]),
                agreement=None if agreement is None else float(agreement),
                created=str(fields["created"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"Not a measured latency ({error!r:.100}): {fields!r:.200}.") from error


def read_measured(path: Path) -> dict[int, MeasuredLatency]:
    """Trial number -> its last measurement, as far as the file can be read: a kill may have torn a line."""
    found: dict[int, MeasuredLatency] = {}
    text = regular_content(path).decode(errors="replace") if path.exists() else ""
    for line in text.split("\n"):
        with suppress(ValueError, FormatError):
            measured = MeasuredLatency.from_dict(parsed_json(line))
            found[measured.number] = measured
    return found


def measured_line(measured: MeasuredLatency) -> str:
    return json.dumps(measured.to_dict(), ensure_ascii=False, allow_nan=False)


def _pair(value: Any) -> tuple[float, float]:
    low, high = value
    return float(low), float(high)
