"""One policy scored: what a trial leaves behind."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mpsearch.errors import FormatError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.costs import Costs, DeviceCosts

RECORD_SCHEMA = 3

State = Literal["complete", "stopped", "failed"]
Origin = Literal["anchor", "sampler", "random", "repeat"]


def after_share(share: float) -> str:
    """As in "after 12.5% of the steps"; "after calibration" where none were trained."""
    return f"after {100 * share:.3g}% of the steps" if share > 0 else "after calibration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What a trial scored at one of the lower fidelities: after `share` of the recipe's steps.

    `score`, `loss` and `ended` as in `TrialRecord`. Units: seconds of wall clock; `steps` are optimizer
    steps.
    """

    share: float
    score: float
    loss: float
    seconds: float
    steps: int
    ended: str

    @classmethod
    def from_dict(cls, fields: Any) -> Rung:
        """Raises: FormatError if it is not what `asdict` makes of a rung."""
        try:
            return cls(
                share=float(fields["share"]),
                score=float(fields["score"]),
                loss=float(fields["loss"]),
                seconds=float(fields["seconds"]),
                steps=int(fields["steps"]),
                ended=str(fields["ended"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"A rung must be numbers named share, score, loss, seconds and steps, and the time when it "
                f"`ended`; got {fields!r:.200}."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One finished trial.

    `number` counts trials from 0 in the order they were begun. `rungs` are its scores at lower fidelities,
    lowest first. `score` (the metric, 0..1) and `loss` are of the validation split at full fidelity, and None
    where the trial was stopped at its last rung, or failed; `failure` then says why. `feasible` is judged by
    the budgets in force when the trial ended; a `Run` judges again by its own. `origin`: anchor (a uniform
    policy), sampler, random (the sampler had nothing new), or repeat (another `seed` for a policy that has a
    score). `started` and `ended` are ISO 8601, UTC; a trial ended with its last rung where it was stopped
    there.
    `driver`: which of several drivers of one study ran it, and so keeps its weights; None where there is one.
    `trainings`: only of a record that `pooled` made of several trainings of one policy: theirs, its own
    first; `score` and `loss` are then the means. They are stored apart.

    Units: seconds of wall clock; `steps` are optimizer steps; both over all rungs.
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
    rungs: tuple[Rung, ...] = ()
    driver: str | None = None
    trainings: tuple[TrialRecord, ...] = ()

    @property
    def every_training(self) -> tuple[TrialRecord, ...]:
        """The records that this one was pooled of, or itself."""
        return self.trainings or (self,)

    @property
    def seeds(self) -> int:
        """How many trainings its score is the mean of."""
        return len(self.every_training)

    @property
    def is_complete(self) -> bool:
        return self.state == "complete"

    @property
    def is_stopped(self) -> bool:
        """Whether it was given up at a lower fidelity, without having failed."""
        return self.state == "stopped"

    @property
    def is_failed(self) -> bool:
        return self.state == "failed"

    @property
    def end(self) -> str:
        """How a trial without a score ended: "failed: REASON", or "stopped after 10% of the steps"."""
        if self.is_stopped:
            return f"stopped {after_share(self.rungs[-1].share)}"
        return f"failed: {self.failure}"

    @property
    def accuracy(self) -> float:
        """The score; NaN where there is none."""
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

    @property
    def compressed_bytes(self) -> int | None:
        return self.costs.compressed_bytes

    def on(self, device: str) -> DeviceCosts:
        """As `Costs.on`."""
        return self.costs.on(device)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object of one training; `from_dict` is its inverse."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "trainings"}
        return {
            "schema": RECORD_SCHEMA,
            **fields,
            "policy": self.policy.names(),
            **({} if self.policy.width is None else {"width": self.policy.width}),
            "costs": self.costs.to_dict(),
            "rungs": [asdict(rung) for rung in self.rungs],
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
            values["policy"] = PrecisionPolicy.from_names(values["policy"], values.pop("width", None))
            values["costs"] = Costs.from_dict(values["costs"])
            values["rungs"] = tuple(Rung.from_dict(rung) for rung in values["rungs"])
            record = cls(trainings=(), **values)
            record._check_types()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FormatError(f"Not a trial record ({error!r:.200}): {fields!r:.200}.") from error
        complete = record.state == "complete" and record.score is not None and record.loss is not None
        stopped = record.state == "stopped" and record.score is None and len(record.rungs) > 0
        failed = record.state == "failed" and isinstance(record.failure, str)
        if not (complete or stopped or failed):
            raise FormatError(
                "A trial record must be complete with score and loss, stopped at a rung, or failed with a "
                f"reason; got state {record.state!r:.40}, score {record.score!r:.40}, "
                f"loss {record.loss!r:.40}, number {record.number!r:.40}."
            )
        return record

    def _check_types(self) -> None:
        """Raises: TypeError if a field is of another type; ValueError if a number is none of ours."""
        counts = [self.number, self.steps, self.seed]
        sizes = [self.seconds, *(value for value in (self.score, self.loss) if value is not None)]
        texts = [text for text in (self.failure, self.driver) if text is not None]
        for kinds, values in (
            ((int,), counts),
            ((int, float), sizes),
            ((str,), [self.origin, self.started, self.ended, *texts]),
            ((bool,), [self.feasible]),
        ):
            odd = [value for value in values if type(value) not in kinds]
            if odd:
                raise TypeError(f"{odd[0]!r:.80} instead of {kinds[0].__name__}")
        if not all(0 <= count < 2**63 for count in counts) or not all(map(math.isfinite, sizes)):
            raise ValueError("a count is out of range, or a number not finite")


def now_utc() -> str:
    """The time as records have it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
