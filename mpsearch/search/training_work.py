"""The work of a search's trials: quantize, fine-tune for a moment, score."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from mpsearch.errors import ConfigError, MpsearchError, StorageError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.space import TaskReference
from mpsearch.search.trial_job import OnStep, Outcome, TrialJob
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task, load_task
from mpsearch.training.trial import run_trial
from mpsearch.training.weights_file import write_weights

REPORT_EVERY_S = 0.2
_SHOWN_OF_A_FAILURE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """Task, baseline and recipe.

    `seed` is that of every trial: policies are compared on the same batches. `threads` are the most that
    torch may use for one trial.
    """

    reference: TaskReference
    recipe: TrialRecipe
    seed: int
    threads: int
    task: Task | None = None
    baseline: Baseline | None = None

    def as_it_can_travel(self, *, has_name: bool) -> TrainingWork:
        """The same with the task that is in memory here; by name alone where its functions cannot be sent.

        Workers then need not read the data again, nor have a place for it: they map what was sent.
        """
        task = self.task
        if task is None or not has_name:
            return self
        first = replace(task, train=task.train.take(1), validation=task.validation.take(1), test=None)
        try:
            PackedWork.of(replace(self, task=first, baseline=None)).close()
        except ConfigError:
            return replace(self, task=None)
        return self

    def load(self) -> LoadedTraining:
        """Task and baseline, from the cache where they are."""
        task = self.task or load_task(self.reference.name, self.reference.args)
        baseline = self.baseline or trained_baseline(task)
        return LoadedTraining(task=task, baseline=baseline, recipe=self.recipe, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedTraining:
    """Task and baseline in memory."""

    task: Task
    baseline: Baseline
    recipe: TrialRecipe
    seed: int

    def run(self, job: TrialJob, on_step: OnStep | None = None) -> Outcome:
        """As `LoadedWork.run`."""
        started = time.perf_counter()
        try:
            result = run_trial(
                self.task,
                self.baseline,
                job.policy,
                self.recipe,
                share=job.share,
                seed=self.seed,
                on_progress=_rarely(on_step),
            )
            if not (math.isfinite(result.score) and math.isfinite(result.loss)):
                failure = (
                    f"TrialError: The score and its loss must be finite; got {result.score} and "
                    f"{result.loss}."
                )
                return Outcome(number=job.number, failure=failure, seconds=time.perf_counter() - started)
            write_weights(job.weights, result.state_dict, {"trial": job.number, "policy": job.policy.names()})
        except StorageError:
            raise
        except (Exception, SystemExit) as error:  # the user's model, data, loss and metric run here
            seconds = time.perf_counter() - started
            return Outcome(number=job.number, failure=_reason(error), seconds=seconds)
        return Outcome(
            number=job.number,
            score=float(result.score),
            loss=float(result.loss),
            seconds=time.perf_counter() - started,
            steps=result.steps,
        )


def _reason(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as mute:  # the error is of the user's making too
        text = f"(its text raised {type(mute).__name__})"
    if not isinstance(error, MpsearchError):
        text = text.strip().split("\n")[0][:_SHOWN_OF_A_FAILURE]
    text = text.encode("utf-8", "backslashreplace").decode()  # half a character could not be stored
    return f"{type(error).__name__}: {text}"


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
