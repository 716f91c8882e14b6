"""Timing what a search will do, by doing a little of it: real steps of real trials on the task's data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from mpsearch.errors import TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.estimate import NO_TIME, Span, TimedTrial
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.evaluate import evaluate
from mpsearch.training.layout import prepare_model
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task
from mpsearch.training.trial import baseline_model, restore_trial_model, run_trial

STEPS = 6  # of each timed trial; the first is left out
ROUNDS = 3  # at most, while there is time
BUDGET_S = 4.0
LEAST = 2  # policies that are timed however long it takes
SAMPLES = 500  # that are scored, and re-estimate BatchNorm; the rest is arithmetic

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedBaseline:
    """The 32-bit model, or a stand-in with its untrained weights, and what training it would take."""

    baseline: Baseline
    span: Span
    steps: int

    @property
    def is_there(self) -> bool:
        """Whether the search would find it trained."""
        return self.steps == 0

    def __add__(self, other: TimedBaseline) -> TimedBaseline:
        """Both, one after the other; the first stays the baseline."""
        return replace(self, span=self.span + other.span, steps=self.steps + other.steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedTrials:
    """Some policies, timed; `score_s` is the time to score one sample; `failures` are those that broke."""

    trials: tuple[TimedTrial, ...]
    score_s: float
    failures: tuple[str, ...]

    def __add__(self, other: TimedTrials) -> TimedTrials:
        """All of them; a sample takes the mean of both, weighted by how many policies were timed."""
        mine, theirs = max(len(self.trials), 1), max(len(other.trials), 1)
        return TimedTrials(
            trials=self.trials + other.trials,
            score_s=(mine * self.score_s + theirs * other.score_s) / (mine + theirs),
            failures=self.failures + other.failures,
        )


def time_baseline(task: Task) -> TimedBaseline:
    """Read the baseline from the cache, or train it for a few steps and throw that away.

    Raises: TaskError as training it would.
    """
    stamps: list[float] = []
    total = 0

    def stop_early(step: int, steps: int, _loss: float) -> None:
        nonlocal total
        stamps.append(time.perf_counter())
        total = steps
        if step > STEPS:
            raise _Enough

    try:
        return TimedBaseline(baseline=trained_baseline(task, progress=stop_early), span=NO_TIME, steps=total)
    except _Enough:
        pass
    model = prepare_model(task.new_model())
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    untrained = Baseline(
        state_dict=weights, validation_score=0.0, validation_loss=0.0, key="", seconds=0.0, cached=False
    )
    scoring = Span.exactly(_score_s(model, task) * len(task.validation))
    return TimedBaseline(
        baseline=untrained, span=_quartiles(np.diff(stamps)).times(total) + scoring, steps=total
    )


def time_trials(
    task: Task,
    baseline: Baseline,
    policies: Sequence[PrecisionPolicy],
    recipe: TrialRecipe,
    *,
    seed: int,
    on_step: OnStep,
) -> TimedTrials:
    """Run the policies as trials of a few steps each, again while there is time; the first is a warm-up.

    Raises: TaskError if the task's own code fails.
    """
    small = replace(task, validation=task.validation.take(SAMPLES))
    statistics = min(recipe.bn_samples, len(task.train))
    short = replace(recipe, steps=STEPS, high_bit_steps=STEPS, bn_samples=min(recipe.bn_samples, SAMPLES))
    steps: dict[PrecisionPolicy, list[float]] = {}
    around: dict[PrecisionPolicy, list[float]] = {}
    failures: dict[PrecisionPolicy, str] = {}
    score_s = _score_s(baseline_model(task, baseline), task)
    for policy in policies[:1]:
        on_step("warming up")
        with suppress(TrialError):
            _, _, state = _short_trial(small, baseline, policy, short, seed)
            score_s = _score_s(restore_trial_model(task, policy, state, recipe), task)
    started = time.perf_counter()
    for place, policy in enumerate([*policies] * ROUNDS):
        if place >= LEAST and time.perf_counter() - started > BUDGET_S:
            break
        on_step(f"timing a trial of {policy.summary}")
        try:
            step_s, around_s, _ = _short_trial(small, baseline, policy, short, seed)
        except TrialError as error:
            failures[policy] = f"{policy.summary}: {error}"
            continue
        steps.setdefault(policy, []).extend(step_s)
        around.setdefault(policy, []).append(around_s)
    left_out = (len(task.validation) - len(small.validation)) + max(statistics - SAMPLES, 0)
    rest = Span.exactly(2 * score_s * left_out)  # before the steps and after them
    return TimedTrials(
        trials=tuple(
            TimedTrial(
                policy=policy, step_s=_quartiles(steps[policy]), around_s=_quartiles(around[policy]) + rest
            )
            for policy in steps
        ),
        score_s=score_s,
        failures=tuple(failures.values()),
    )


def _short_trial(
    task: Task, baseline: Baseline, policy: PrecisionPolicy, recipe: TrialRecipe, seed: int
) -> tuple[list[float], float, dict[str, torch.Tensor]]:
    """Seconds of each step but the first, seconds of all that is no step, and the weights."""
    stamps: list[float] = []
    started = time.perf_counter()
    result = run_trial(
        task,
        baseline,
        policy,
        recipe,
        seed=seed,
        on_progress=lambda *_: stamps.append(time.perf_counter()),
    )
    seconds = time.perf_counter() - started
    step_s = np.diff(stamps).tolist()
    around_s = max(seconds - float(np.median(step_s)) * len(stamps), 0.0)
    return step_s, around_s, result.state_dict


def _score_s(model: torch.nn.Module, task: Task) -> float:
    """Seconds to score one sample."""
    few = task.validation.take(SAMPLES)
    started = time.perf_counter()
    evaluate(model, few, task)
    return (time.perf_counter() - started) / len(few)


def _quartiles(seconds: Sequence[float] | np.ndarray) -> Span:
    low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75]).tolist()
    return Span(least_s=low, likely_s=middle, most_s=high)


class _Enough(Exception):  # noqa: N818 - no error: the way out of a training loop
    """Steps enough were timed."""
