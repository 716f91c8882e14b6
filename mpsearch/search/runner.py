"""Where trials run: what a search asks of any engine that runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from mpsearch.search.trial_job import Outcome, StepReport, TrialJob

Report = StepReport | Outcome


class Runner(ABC):
    """Runs up to `capacity` trials at once. Use as a context manager; every runner passes one test suite.

    A trial that fails, whatever the reason, gives an Outcome with `failure`; it stops neither the runner nor
    other trials.
    """

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many trials may run at once."""

    @property
    def batch(self) -> int:
        """How many of them a worker runs together."""
        return 1

    @property
    @abstractmethod
    def running(self) -> int:
        """How many jobs were submitted whose Outcome was not returned by `wait` yet."""

    @abstractmethod
    def submit(self, job: TrialJob) -> None:
        """Take a job; does not wait for it. Only while `running` < `capacity`."""

    @abstractmethod
    def wait(self) -> list[Report]:
        """What happened since the last call: at least one report, waited for where there is none yet.

        Raises: StorageError if a worker cannot write weights; RunError if workers cannot be started.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers; what runs is lost. May be called twice."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
