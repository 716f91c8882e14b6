"""Train one run of `benchmarks/qat.py`: a trial like that of a search, its test score beside it."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from qat_drawn_policy import drawn_policy
from qat_run import PolicyRule, Run, Workload
from torch import Tensor

from mpsearch.errors import TrialError
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.resolve import resolve
from mpsearch.search.space_file import load_space
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.evaluate import evaluate
from mpsearch.training.task import Task, load_task
from mpsearch.training.trial import TrialResult, baseline_model, restore_trial_model, run_trial, test_score

PROBED_STEPS = 2  # their losses are kept, to tell later whether the code still trains alike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """What all runs of a workload share."""

    task: Task
    baseline: Baseline
    trace: ModelTrace
    baseline_facts: Mapping[str, Any]

    def policy(self, rule: PolicyRule) -> PrecisionPolicy:
        if rule.draw is None:
            return rule.policy([layer.name for layer in self.trace.layers])
        return drawn_policy(resolve(load_space(str(rule.space)), self.trace), rule.draw)


def prepare(workload: Workload, folder: Path) -> Prepared:
    """Load the data, train the 32-bit model or take it from the folder, score it on the test split."""
    task = load_task(workload.task, workload.args)
    baseline = trained_baseline(task, seed=0, cache_dir=folder)
    model = baseline_model(task, baseline)
    trace = trace_model(model, task.example_inputs)
    test = (None, None) if task.test is None else evaluate(model, task.test, task)
    facts = {
        "key": baseline.key,
        "score": baseline.validation_score,
        "loss": baseline.validation_loss,
        "test": test[0],
        "test_loss": test[1],
        "train_samples": len(task.train),
        "validation_samples": len(task.validation),
        "seconds": baseline.seconds,
    }
    return Prepared(task=task, baseline=baseline, trace=trace, baseline_facts=facts)


def train(runs: Sequence[Run], prepared: Prepared) -> list[dict[str, Any]]:
    """The record of each run, for the journal; runs of one call differ in policy only, and are trained in one
    pass where that can be. One that diverges is a result too.
    """
    policies = [prepared.policy(run.rule) for run in runs]
    first = runs[0]
    clocks = [_Clock() for _ in runs]
    results = run_trials(
        prepared.task,
        prepared.baseline,
        policies,
        first.recipe,
        share=first.share,
        seed=first.seed,
        on_step=lambda place, done, steps, loss: clocks[place].step(done, steps, loss),
    )
    return [
        _facts(run, policy, prepared, len(runs)) | _outcome(run, policy, prepared, result, clock.seconds)
        for run, policy, result, clock in zip(runs, policies, results, clocks, strict=True)
    ]


def _facts(run: Run, policy: PrecisionPolicy, prepared: Prepared, together: int) -> dict[str, Any]:
    return {
        "key": run.key,
        "workload": run.workload.name,
        "rule": str(run.rule),
        "policy": policy.names(),
        "settings": dict(run.settings),
        "share": run.share,
        "seed": run.seed,
        "repeat": run.repeat,
        "baseline": prepared.baseline_facts,
        "threads": torch.get_num_threads(),
        "together": together,
        "machine": probe_machine().cpu_model,
        "torch": torch.__version__,
        "commit": _commit(),
        "at": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
    }


def _outcome(
    run: Run, policy: PrecisionPolicy, prepared: Prepared, result: TrialResult | TrialError, training_s: float
) -> dict[str, Any]:
    if isinstance(result, TrialError):
        return {"failure": str(result), "steps": 0}
    task, test = prepared.task, None
    if task.test is not None and run.share == 1:
        test = test_score(task, restore_trial_model(task, policy, result.state_dict, run.recipe))
    training_s = min(training_s, result.seconds)  # of runs in one pass, each has its part of the time
    return {
        "score": result.score,
        "loss": result.loss,
        "calibrated": result.calibrated_score,
        "test": test,
        "steps": result.steps,
        "first_losses": list(result.curve[:PROBED_STEPS]),
        "weights": _digest(result.state_dict),
        "seconds": result.seconds,
        "seconds_training": training_s,
        "seconds_beside": result.seconds - training_s,
    }


class _EnoughError(Exception):
    """Ends a training whose first losses are known."""


def first_losses(run: Run, prepared: Prepared) -> list[float]:
    """What the first steps of a run lose now, as `first_losses` of its record."""
    losses: list[float] = []

    def keep(_done: int, _steps: int, loss: float) -> None:
        losses.append(loss)
        if len(losses) == PROBED_STEPS:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        run_trial(
            prepared.task,
            prepared.baseline,
            prepared.policy(run.rule),
            run.recipe,
            share=run.share,
            seed=run.seed,
            on_progress=keep,
        )
    return losses


def train_in_new_process(run: Run, folder: Path, threads: int) -> dict[str, Any]:
    """As `train`, by a process that has trained nothing before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_prepare_and_train, run, folder, threads).result()


def _prepare_and_train(run: Run, folder: Path, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    return train([run], prepare(run.workload, folder))[0]


class _Clock:
    """How long the steps took, but for the first one, which is counted as the mean of the others."""

    def __init__(self) -> None:
        self._first: dt.datetime | None = None
        self.seconds = 0.0

    def step(self, done: int, _steps: int, _loss: float) -> None:
        now = dt.datetime.now(tz=dt.UTC)
        self._first = self._first or now
        if done > 1:
            self.seconds = (now - self._first).total_seconds() * done / (done - 1)


def _digest(state_dict: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, tensor in sorted(state_dict.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        hashed.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()[:16]


@functools.cache
def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()
