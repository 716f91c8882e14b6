"""One policy scored: what a trial leaves behind."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any, Literal

from mpsearch.cost.cost_report import CostReport
from mpsearch.errors import FormatError
from mpsearch.precision.policy import PrecisionPolicy

RECORD_SCHEMA = 2

State = Literal["complete", "failed"]
Origin = Literal["anchor", "sampler", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a policy costs on the profiled machine; known before training.

    `latency_s` is a median; the others are percentiles.
    """

    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    memory_bytes: int
    energy_j: float

    @classmethod
    def of(cls, report: CostReport) -> Costs:
        """The totals of a report."""
        return cls(**{field.name: getattr(report, field.name) for field in dataclass_fields(cls)})

    @classmethod
    def from_dict(cls, fields: Any) -> Costs:
        """Raises: FormatError if it is not an object of the costs."""
        try:
            return cls(
                latency_s=float(fields["latency_s"]),
                latency_p95_s=float(fields["latency_p95_s"]),
                latency_p99_s=float(fields["latency_p99_s"]),
                memory_bytes=int(fields["memory_bytes"]),
                energy_j=float(fields["energy_j"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"Costs must be numbers named {', '.join(field.name for field in dataclass_fields(cls))}; "
                f"got {fields!r:.200}."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One finished trial.

    `number` counts trials from 0 in the order they were begun. `score` (the metric, 0..1) and `loss` are of
    the validation split, and None where the trial failed; `failure` then says why. `feasible` is judged by
    the budgets in force when the trial ended; a `Run` judges again by its own. `origin`: anchor (a uniform
    policy), sampler, or random (the sampler had nothing new). `started` and `ended` are ISO 8601, UTC.

    Units: seconds of wall clock; `steps` are optimizer steps.
    """

    number: int
    policy: PrecisionPolicy
    state: State
    score: float | None
    loss: float | None
    costs: Costs
    feasible: bool
    seconds: float
    steps: int
    seed: int
    origin: Origin
    started: str
    ended: str
    failure: str | None = None

    @property
    def is_complete(self) -> bool:
        return self.state == "complete"

    @property
    def accuracy(self) -> float:
        """The score; NaN where the trial failed."""
        return math.nan if self.score is None else self.score

    @property
    def latency_s(self) -> float:
        return self.costs.latency_s

    @property
    def latency_p95_s(self) -> float:
        return self.costs.latency_p95_s

    @property
    def latency_p99_s(self) -> float:
        return self.costs.latency_p99_s

    @property
    def memory_bytes(self) -> int:
        return self.costs.memory_bytes

    @property
    def energy_j(self) -> float:
        return self.costs.energy_j

    def to_dict(self) -> dict[str, Any]:
        """A JSON object; `from_dict` is its inverse."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {
            "schema": RECORD_SCHEMA,
            **fields,
            "policy": self.policy.names(),
            "costs": asdict(self.costs),
        }

    @classmethod
    def from_dict(cls, fields: Any) -> TrialRecord:
        """Raises: FormatError if it is not a trial record, or one of a newer schema."""
        if not isinstance(fields, dict) or "schema" not in fields:
            raise FormatError(f"A trial record must be a JSON object with a schema; got {fields!r:.200}.")
        if fields["schema"] != RECORD_SCHEMA:
            raise FormatError(
                f"Trial records of schema {RECORD_SCHEMA} can be read; got schema {fields['schema']!r:.40}. "
                "Read this run with the mpsearch that made it, or search again."
            )
        values = {name: value for name, value in fields.items() if name != "schema"}
        try:
            values["policy"] = PrecisionPolicy.from_names(values["policy"])
            values["costs"] = Costs.from_dict(values["costs"])
            record = cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"Not a trial record ({error}): {fields!r:.200}.") from error
        complete = record.state == "complete" and isinstance(record.score, (int, float))
        failed = record.state == "failed" and isinstance(record.failure, str)
        if not (complete or failed) or not isinstance(record.number, int):
            raise FormatError(
                "A trial record must be complete with a score, or failed with a reason; got state "
                f"{record.state!r:.40}, score {record.score!r:.40}, number {record.number!r:.40}."
            )
        return record


def now_utc() -> str:
    """The time as records have it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
