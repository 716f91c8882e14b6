"""policy.json: which scheme each layer takes, what that costs, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpsearch.errors import FormatError
from mpsearch.export.document import read_document, required, write_document
from mpsearch.precision.policy import PrecisionPolicy

POLICY_FILE_SCHEMA = 1
_WHAT = "a policy written by mpsearch"
_NUMBER = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """One policy with its origin, for other programs to read.

    Units: `validation_score` is the task's metric (`metric`), 1.0 perfect where that is an accuracy;
    latencies are predicted for the machine of `profile` on `threads` threads, one sample.
    """

    policy: PrecisionPolicy
    model_fingerprint: str
    task: str
    metric: str
    validation_score: float
    latency_s: float
    latency_p95_s: float
    latency_p99_s: float
    memory_bytes: int
    energy_j: float
    profile: str
    threads: int
    run: str
    trial: int

    def save(self, path: Path) -> None:
        """Raises: StorageError if it cannot be written."""
        write_document(
            path,
            {
                "schema": POLICY_FILE_SCHEMA,
                "model_fingerprint": self.model_fingerprint,
                "task": self.task,
                **({} if self.policy.width is None else {"width": self.policy.width}),
                "layers": self.policy.names(),
                "score": {"metric": self.metric, "split": "validation", "value": self.validation_score},
                "costs": {
                    "latency_s": self.latency_s,
                    "latency_p95_s": self.latency_p95_s,
                    "latency_p99_s": self.latency_p99_s,
                    "memory_bytes": self.memory_bytes,
                    "energy_j": self.energy_j,
                    "profile": self.profile,
                    "threads": self.threads,
                },
                "origin": {"run": self.run, "trial": self.trial},
            },
        )

    @classmethod
    def load(cls, path: Path) -> PolicyFile:
        """Raises: FormatError if the file is truncated, of a newer schema, or breaks the format."""
        document = read_document(path, schema=POLICY_FILE_SCHEMA, what=_WHAT)
        score = required(document, "score", dict, path)
        costs = required(document, "costs", dict, path)
        origin = required(document, "origin", dict, path)
        try:
            policy = PrecisionPolicy.from_names(document.get("layers"), document.get("width"))
        except FormatError as error:
            raise FormatError(f"`layers` or `width` in {path}: {error}") from error
        return cls(
            policy=policy,
            model_fingerprint=required(document, "model_fingerprint", str, path),
            task=required(document, "task", str, path),
            metric=required(score, "metric", str, path),
            validation_score=required(score, "value", _NUMBER, path),
            latency_s=required(costs, "latency_s", _NUMBER, path),
            latency_p95_s=required(costs, "latency_p95_s", _NUMBER, path),
            latency_p99_s=required(costs, "latency_p99_s", _NUMBER, path),
            memory_bytes=required(costs, "memory_bytes", int, path),
            energy_j=required(costs, "energy_j", _NUMBER, path),
            profile=required(costs, "profile", str, path),
            threads=required(costs, "threads", int, path),
            run=required(origin, "run", str, path),
            trial=required(origin, "trial", int, path),
        )
