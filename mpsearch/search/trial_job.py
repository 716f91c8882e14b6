"""One trial as a piece of work, and what can do it: the same in every runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mpsearch.precision.policy import PrecisionPolicy

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """One policy to score at one fidelity. The worker leaves the trained weights in `weights`.

    `share` of the recipe's steps is trained, with a learning rate that falls to 0 within them; `seed` decides
    their samples and every draw. A job that has not ended after `limit_s` seconds is ended, and fails.
    """

    number: int
    policy: PrecisionPolicy
    weights: Path
    seed: int = 0
    share: float = 1.0
    limit_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A running trial has made a step."""

    number: int
    step: int
    total: int
    loss: float


OnReport = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A job has ended: with a score, or with the reason why not."""

    number: int
    score: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    steps: int = 0
    failure: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class LoadedWork(Protocol):
    """Work whose model, data and baseline are in memory: ready for one job after the other."""

    def run(self, job: TrialJob, on_step: OnStep | None = None) -> Outcome:
        """Score a policy. Whatever goes wrong in it fails this job alone, with its reason.

        Raises: StorageError if the weights cannot be written: that is the search's problem, not the policy's.
        """

    def run_together(self, jobs: Sequence[TrialJob], on_report: OnReport | None = None) -> Iterable[Outcome]:
        """Score several policies in one pass where that can be; else one after the other, each told at once.

        Raises: StorageError as `run`.
        """


class Work(Protocol):
    """What all trials of a search share, before it is loaded; it goes to other processes and machines."""

    @property
    def threads(self) -> int:
        """The most threads that torch may use for one trial."""

    def load(self) -> LoadedWork:
        """Raises: any MpsearchError that stops the search."""
