"""The searcher that Ray Tune asks for trials: it hands out the jobs that our own search loop submitted."""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from mpsearch.errors import MpsearchError, RunError
from mpsearch.search.ray_trainable import DONE, ERROR, JOB, OUTCOME, STEP, WEIGHTS
from mpsearch.search.runner import Report
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob

_PATIENCE_S = 5.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came back from the cluster; `weights` are the bytes of a job's weights file."""

    report: Report
    weights: bytes | None = None


class JobDesk:
    """Where the thread of the search and that of Tune meet: jobs one way, arrivals the other.

    While the search thinks about what an outcome means, Tune waits for the next job: it would otherwise send
    away all idle actors but one.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._jobs: deque[TrialJob] = deque()
        self._arrivals: deque[Arrival] = deque()
        self._handed_out: dict[str, TrialJob] = {}
        self._error: BaseException | None = None
        self._is_thinking = False
        self.is_closed = False

    def __deepcopy__(self, memo: dict[int, Any]) -> JobDesk:
        """Tune copies its settings; there is one desk."""
        return self

    def __reduce__(self) -> tuple[type[JobDesk], tuple[()]]:
        """Tune pickles its settings into its folder, which nobody reads: a desk without its locks."""
        return JobDesk, ()

    def submit(self, job: TrialJob) -> None:
        with self._change:
            self._jobs.append(job)
            self._change.notify_all()

    def collect(self, limit_s: float) -> list[Arrival]:
        """All arrivals, waited for a while where there are none.

        Raises: what stopped Tune, or a worker's load.
        """
        with self._change:
            if not self._arrivals:
                self._is_thinking = False
                self._change.notify_all()
            self._change.wait_for(lambda: self._arrivals or self._error is not None, limit_s)
            if not self._arrivals and self._error is not None:
                raise self._error
            found = list(self._arrivals)
            self._arrivals.clear()
            return found

    def close(self) -> None:
        """No job is handed out any more."""
        with self._change:
            self.is_closed = True
            self._change.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._change:
            self._error = self._error or error
            self._change.notify_all()

    def take(self, trial_id: str) -> TrialJob | None:
        """The next job for Tune; None if none came while it is worth waiting."""
        with self._change:
            if not self._handed_out:  # Tune would sleep for a second between its questions
                self._change.wait_for(lambda: self._jobs or self.is_closed)
            elif self._is_thinking:
                self._change.wait_for(
                    lambda: self._jobs or self.is_closed or not self._is_thinking, timeout=_PATIENCE_S
                )
            if self.is_closed or not self._jobs:
                return None
            job = self._jobs.popleft()
            self._handed_out[trial_id] = job
            return job

    def report_step(self, trial_id: str, step: int, total: int, loss: float) -> None:
        with self._change:
            job = self._handed_out.get(trial_id)
            if job is not None:
                self._arrivals.append(
                    Arrival(StepReport(number=job.number, step=step, total=total, loss=loss))
                )
                self._change.notify_all()

    def hand_back(self, trial_id: str, outcome: Outcome, weights: bytes | None) -> None:
        with self._change:
            if self._handed_out.pop(trial_id, None) is not None:
                self._arrivals.append(Arrival(outcome, weights))
                self._is_thinking = True
                self._change.notify_all()

    def number_of(self, trial_id: str) -> int | None:
        with self._change:
            job = self._handed_out.get(trial_id)
            return None if job is None else job.number


class StudySearcher(Searcher):
    """Suggests the policies that our study proposed; knows nothing of its own.

    Tune's state of it is empty: the study on our disk is the only truth, and nothing of Tune's is read back.
    """

    def __init__(self, desk: JobDesk) -> None:
        super().__init__()
        self._desk = desk
        self._weights: dict[str, bytes | None] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # as Tune has it
        job = self._desk.take(trial_id)
        if job is not None:
            return {JOB: job}
        return str(Searcher.FINISHED) if self._desk.is_closed else None

    def keep_weights(self, trial_id: str, weights: bytes | None) -> None:
        """Take the weights before Tune writes down the result that they came with."""
        self._weights[trial_id] = weights

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if STEP in result:
            self._desk.report_step(trial_id, *result[STEP])

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001 - Ray's signature
    ) -> None:
        weights = self._weights.pop(trial_id, None)
        if result is None or error:  # stopped with the search, or lost: `on_trial_error` says why
            return
        failure = result.get(ERROR)
        if isinstance(failure, MpsearchError):
            self._desk.fail(failure)
        elif isinstance(result.get(OUTCOME), Outcome):
            self._desk.hand_back(trial_id, result[OUTCOME], weights)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class TrialEvents(Callback):
    """What Tune tells nobody else: bulky parts of results, and why trials were given up."""

    def __init__(self, desk: JobDesk, searcher: StudySearcher) -> None:
        super().__init__()
        self._desk = desk
        self._searcher = searcher

    def on_trial_result(  # type: ignore[override] # Tune gives all by name
        self, *, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        if result.get(DONE):
            self._searcher.keep_weights(trial.trial_id, result.pop(WEIGHTS, None))

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:  # type: ignore[override]
        number = self._desk.number_of(trial.trial_id)
        if number is None:
            return
        reason = _last_reason(trial)
        if "No module named 'mpsearch'" in reason:
            self._desk.fail(
                RunError(
                    "All machines of a cluster must run the same; one has no mpsearch. Install it there, for "
                    "the Python that runs Ray."
                )
            )
            return
        failure = f"TrialError: The trial was lost {trial.run_metadata.num_failures} times; last: {reason}"
        self._desk.hand_back(trial.trial_id, Outcome(number=number, failure=failure), None)


class EndOfSearch(Stopper):
    """Stops Tune, running trials too, when the search closes the desk."""

    def __init__(self, desk: JobDesk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Ray's signature
        return False

    def stop_all(self) -> bool:
        return self._desk.is_closed


def _last_reason(trial: Any) -> str:
    text = Path(trial.error_file).read_text(errors="replace") if trial.error_file else ""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines()]
    last = max((place for place, line in enumerate(lines) if line.startswith("Failure #")), default=-1)
    return " ".join(line for line in lines[last + 1 :] if line)
