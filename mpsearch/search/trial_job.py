"""One trial as a piece of work: the same function runs it in every runner."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpsearch.errors import MpsearchError, StorageError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.space import TaskReference
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task, load_task
from mpsearch.training.trial import run_trial
from mpsearch.training.weights_file import write_weights

REPORT_EVERY_S = 0.2
MACS_PER_THREAD = 1_000_000_000  # of one forward pass over a batch

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What all trials of a search share. With a `task` it may refuse to go to another process.

    `seed` is that of every trial: policies are compared on the same batches. `threads` are the most that
    torch may use for one trial.
    """

    reference: TaskReference
    recipe: TrialRecipe
    seed: int
    threads: int
    task: Task | None = None
    baseline: Baseline | None = None

    def load(self) -> LoadedWorkload:
        """Task and baseline, from the cache where they are."""
        task = self.task or load_task(self.reference.name, self.reference.args)
        baseline = self.baseline or trained_baseline(task)
        return LoadedWorkload(
            task=task, baseline=baseline, recipe=self.recipe, seed=self.seed, threads=self.threads
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedWorkload:
    """A workload with its task and baseline in memory."""

    task: Task
    baseline: Baseline
    recipe: TrialRecipe
    seed: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """One policy to score. The worker leaves the trained weights in `weights`."""

    number: int
    policy: PrecisionPolicy
    weights: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A running trial has made a step."""

    number: int
    step: int
    total: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A trial has ended: with a score, or with the reason why not."""

    number: int
    score: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    steps: int = 0
    failure: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def run_job(loaded: LoadedWorkload, job: TrialJob, on_step: OnStep | None = None) -> Outcome:
    """Score a policy. Whatever goes wrong in it fails this trial alone, with its reason.

    Raises: StorageError if the weights cannot be written: that is the search's problem, not the policy's.
    """
    started = time.perf_counter()
    try:
        result = run_trial(
            loaded.task,
            loaded.baseline,
            job.policy,
            loaded.recipe,
            seed=loaded.seed,
            on_progress=_rarely(on_step),
        )
        if not (math.isfinite(result.score) and math.isfinite(result.loss)):
            failure = (
                f"TrialError: The score and its loss must be finite; got {result.score} and {result.loss}."
            )
            return Outcome(number=job.number, failure=failure, seconds=time.perf_counter() - started)
        write_weights(job.weights, result.state_dict, {"trial": job.number, "policy": job.policy.names()})
    except StorageError:
        raise
    except Exception as error:  # the user's model, data, loss and metric run here
        name = type(error).__name__
        text = str(error) if isinstance(error, MpsearchError) else str(error).strip().split("\n")[0][:500]
        return Outcome(number=job.number, failure=f"{name}: {text}", seconds=time.perf_counter() - started)
    return Outcome(
        number=job.number,
        score=float(result.score),
        loss=float(result.loss),
        seconds=time.perf_counter() - started,
        steps=result.steps,
    )


def worthwhile_threads(macs: int, batch_size: int) -> int:
    """How many threads a model is trained on; it follows from the model alone, so that scores do not vary.

    A second thread on the digits network gains 15% on an idle machine, and where another program takes one of
    two cores the threads wait for each other in every small operation: 54 s instead of 2 s a trial.
    """
    return max(1, macs * batch_size // MACS_PER_THREAD)


def usable_cpus() -> list[int]:
    """The processors that this process may run on."""
    return (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )


def _rarely(on_step: OnStep | None) -> OnStep | None:
    """A progress callback that is not called more often than anyone looks."""
    if on_step is None:
        return None
    last = -math.inf

    def report(step: int, total: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= REPORT_EVERY_S or step == total:
            last = now
            on_step(step, total, loss)

    return report
