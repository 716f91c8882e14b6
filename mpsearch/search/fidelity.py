"""How near a run's predicted latencies come to what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np

from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.run import Run

NEAR = 0.15  # of the prediction: the target that a profile is judged by
_LEAST_RANKED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """The errors of some trials' predictions, by trial number: (measured - predicted) / predicted.

    `median_error` is that of the errors' sizes, `worst` the number of the trial with the largest,
    `rank_agreement` Kendall's tau between predicted and measured: 1 where all pairs of trials come in the
    predicted order, -1 where none does; None for fewer than three trials.
    """

    errors: Mapping[int, float]
    median_error: float
    worst: int
    rank_agreement: float | None

    @property
    def near(self) -> int:
        """How many trials were measured within 15% of their prediction."""
        return sum(abs(error) <= NEAR for error in self.errors.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "median_error": self.median_error,
            "worst_error": self.errors[self.worst],
            "worst_trial": self.worst,
            "within_15pct": self.near,
            "kendall_tau": self.rank_agreement,
        }


def fidelity(run: Run, measured: Iterable[MeasuredLatency]) -> Fidelity:
    """Of at least one measured trial.

    Raises: RunError if a trial is not in the run.
    """
    pairs = {m.number: (run.trial(m.number).latency_s, m.latency_s) for m in measured}
    errors = {number: seen / predicted - 1 for number, (predicted, seen) in pairs.items()}
    return Fidelity(
        errors=errors,
        median_error=median(abs(error) for error in errors.values()),
        worst=max(errors, key=lambda number: abs(errors[number])),
        rank_agreement=_kendall_tau(list(pairs.values())) if len(pairs) >= _LEAST_RANKED else None,
    )


def is_promised(profile: HardwareProfile, measured: MeasuredLatency) -> bool:
    """Whether it was measured on the machine and threads that the profile speaks of."""
    machine = profile.fingerprint
    return (
        measured.threads == profile.threads
        and measured.machine == machine.cpu_model
        and measured.isa == machine.kernels[0]
    )


def _kendall_tau(pairs: list[tuple[float, float]]) -> float:
    signs = [np.sign(a[0] - b[0]) * np.sign(a[1] - b[1]) for a, b in combinations(pairs, 2)]
    return float(np.mean(signs))
