"""Trials that cost nothing or only sleep. Free of torch, so that many workers start at once."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.trial_job import OnStep, Outcome, TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWork:
    """Sleeps for `seconds`, half as long to half as much again; the score is arithmetic on the policy."""

    seconds: float = 0.0
    threads: int = 1

    def load(self) -> IdleWork:
        return self

    def run(self, job: TrialJob, on_step: OnStep | None = None) -> Outcome:  # noqa: ARG002
        """As `LoadedWork.run`; the weights are an empty file."""
        slept = self.seconds * random.Random(job.number).uniform(0.5, 1.5)
        time.sleep(slept)
        job.weights.write_bytes(b"")
        score = score_of(job.policy)
        return Outcome(number=job.number, score=score, loss=1 - score, seconds=slept, steps=1)


def score_of(policy: PrecisionPolicy) -> float:
    """Each layer loses with fewer bits, the first and the last most; noise follows from the policy."""
    bits = [min(scheme.weight_bits, 8) for scheme in policy.values()]
    weights = [1 + 2 * abs(2 * place / (len(bits) - 1) - 1) for place in range(len(bits))]
    lost = sum(w * 2.0**-b for w, b in zip(weights, bits, strict=True)) / (0.5 * sum(weights))
    noise = random.Random(policy.key).gauss(0, 0.004)
    return min(max(0.97 - 0.5 * lost + noise, 0.0), 1.0)
