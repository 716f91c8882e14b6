"""The work of a search's trials: quantize, fine-tune for a moment, score."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mpsearch.errors import ConfigError, MpsearchError, StorageError, TrialError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.space import SearchSpace
from mpsearch.search.trial_job import OnReport, OnStep, Outcome, StepReport, TrialJob
from mpsearch.search.width_tasks import Baselines, Tasks, load_tasks
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.batched_training import OnStep as OnPlaceStep
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.device import trial_device
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.trial import TrialResult, run_trial
from mpsearch.training.weights_file import write_weights

REPORT_EVERY_S = 0.2
_SHOWN_OF_A_FAILURE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """Task and baseline, at each width of the space, and what the space says of trials.

    `threads` are the most that torch may use for one trial.
    """

    space: SearchSpace
    threads: int
    tasks: Tasks | None = None
    baselines: Baselines | None = None

    def as_it_can_travel(self, *, has_name: bool) -> TrainingWork:
        """The same with the task that is in memory here; by name alone where its functions cannot be sent.

        Workers then need not read the data again, nor have a place for it: they map what was sent.
        """
        if self.tasks is None or not has_name:
            return self
        first = {
            width: replace(task, train=task.train.take(1), validation=task.validation.take(1), test=None)
            for width, task in self.tasks.items()
        }
        try:
            PackedWork.of(replace(self, tasks=first, baselines=None)).close()
        except ConfigError:
            return replace(self, tasks=None)
        return self

    def load(self) -> LoadedTraining:
        """Task and baseline, from the cache where they are.

        Raises: ConfigError if trials need a GPU and there is none here.
        """
        trial_device(self.space.trial.device)
        tasks = self.tasks or load_tasks(self.space)
        baselines = self.baselines or {width: trained_baseline(task) for width, task in tasks.items()}
        return LoadedTraining(tasks=tasks, baselines=baselines, recipe=self.space.trial)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedTraining:
    """Task and baseline in memory, by width."""

    tasks: Tasks
    baselines: Baselines
    recipe: TrialRecipe

    def run(self, job: TrialJob, on_step: OnStep | None = None) -> Outcome:
        """As `LoadedWork.run`."""
        started = time.perf_counter()
        try:
            result = run_trial(
                self.tasks[job.policy.width],
                self.baselines[job.policy.width],
                job.policy,
                self.recipe,
                share=job.share,
                seed=job.seed,
                on_progress=_rarely(on_step),
            )
            return _outcome(job, result, started)
        except StorageError:
            raise
        except (Exception, SystemExit) as error:  # the user's model, data, loss and metric run here
            seconds = time.perf_counter() - started
            return Outcome(number=job.number, failure=_reason(error), seconds=seconds)

    def run_together(self, jobs: Sequence[TrialJob], on_report: OnReport | None = None) -> Iterator[Outcome]:
        """As `LoadedWork.run_together`; what one pass cannot do, such as two widths or seeds, takes several.

        If a pass fails as a whole, each of its jobs is run alone: one may be the cause.
        """
        alike: dict[tuple[float | None, float, int], list[TrialJob]] = {}
        for job in jobs:
            alike.setdefault((job.policy.width, job.share, job.seed), []).append(job)
        for (width, share, seed), together in alike.items():
            started = time.perf_counter()
            try:
                results = run_trials(
                    self.tasks[width],
                    self.baselines[width],
                    [job.policy for job in together],
                    self.recipe,
                    share=share,
                    seed=seed,
                    on_step=_reports(together, on_report),
                )
            except (Exception, SystemExit):
                yield from (self.run(job) for job in together)
                continue
            each = (time.perf_counter() - started) / len(together)
            for job, result in zip(together, results, strict=True):
                if isinstance(result, TrialError):
                    yield Outcome(number=job.number, failure=_reason(result), seconds=each)
                else:
                    yield _outcome(job, result, time.perf_counter() - result.seconds)


def _outcome(job: TrialJob, result: TrialResult, started: float) -> Outcome:
    """Of a trial that began then; leaves its weights where the job says.

    Raises: StorageError if they cannot be written.
    """
    if not (math.isfinite(result.score) and math.isfinite(result.loss)):
        failure = f"TrialError: The score and its loss must be finite; got {result.score} and {result.loss}."
        return Outcome(number=job.number, failure=failure, seconds=time.perf_counter() - started)
    write_weights(job.weights, result.state_dict, {"trial": job.number, "policy": job.policy.names()})
    return Outcome(
        number=job.number,
        score=float(result.score),
        loss=float(result.loss),
        seconds=time.perf_counter() - started,
        steps=result.steps,
    )


def _reports(jobs: Sequence[TrialJob], on_report: OnReport | None) -> OnPlaceStep | None:
    """Reports of each job's steps, seldom."""
    if on_report is None:
        return None

    last = [-math.inf] * len(jobs)

    def report(place: int, step: int, total: int, loss: float) -> None:
        now = time.monotonic()
        if now - last[place] >= REPORT_EVERY_S or step == total:
            last[place] = now
            on_report(StepReport(number=jobs[place].number, step=step, total=total, loss=loss))

    return report


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
