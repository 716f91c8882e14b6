"""How many trials an hour training several policies together makes, beside one after the other.

    python benchmarks/batched.py [--only digits-cnn] [--batch 8] [--rounds 3] [--share 1.0] [--json OUT]

Random policies of each model are scored both ways, in turns; a round gives one ratio of each. On one thread,
by `run_trial` one by one and by `run_trials` together: a ratio of processor seconds, which other programs on
the machine distort least, and how far the scores of both ways are apart. On two cores, one trial at a time
(on one thread, as a search trains models of this size) and two processes that each train `batch` policies
together: a ratio of trials per hour by the wall clock.

All of it in processes with the environment of a search's workers, each of which has scored a policy of the
longest training before: what the 32-bit model says of the batches of a seed is then known, either way.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import write_atomically
from mpsearch.models.quantizable import is_candidate
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.worker_process import environment
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task, load_task
from mpsearch.training.trial import TrialResult, run_trial

RECIPE = TrialRecipe(steps=200, high_bit_steps=40, batch_size=50)
SEED = 0  # one for all trials, as in a search


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A task; `passes` are the batches that a process trains in a round: many where one takes a second."""

    task: str
    args: dict[str, Any]
    passes: int = 1


CASES = {
    "digits-mlp": Case(task="digits", args={"model": "mlp"}, passes=8),
    "digits-cnn": Case(task="digits", args={"model": "cnn"}, passes=2),
    "speech-ds-cnn": Case(task="speech_digits", args={}),
}
OUTER = ("w1.58a8", "w4a8", "w8a8", "w32a32")
INNER = ("w1a1", "w1a8", *OUTER)
CORES = 2
BAR = 3.0

Policies = Sequence[PrecisionPolicy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Seconds of one round; `apart` are differences of scores, together less alone."""

    alone_s: float
    together_s: float
    alone_on_the_clock_s: float
    together_on_cores_s: float
    apart: tuple[float, ...]

    @property
    def on_cores(self) -> float:
        """Trials per hour on all cores over those of one at a time, of so many times the policies."""
        return CORES * self.alone_on_the_clock_s / self.together_on_cores_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What some policies took in one process, and their scores."""

    cpu_s: float
    wall_s: float
    scores: tuple[float, ...]


@lru_cache(maxsize=1)
def prepared(case: str) -> tuple[Task, Baseline]:
    task = load_task(CASES[case].task, CASES[case].args)
    return task, trained_baseline(task)


def measured(case: str, batch: int, rounds: int, share: float) -> dict[str, Any]:
    """All rounds of one model."""
    task, _ = prepared(case)  # trained here if it is not yet, so that no two processes do
    layers = layers_of(task)
    count = CORES * batch * CASES[case].passes
    turns = []
    with ExitStack() as stack:
        workers = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn"))) for _ in range(CORES)
        ]
        for ready in [worker.submit(begin, case, share) for worker in workers]:
            ready.result()
        for number in range(rounds):
            draws = [random.Random(1000 * number + place) for place in range(count)]
            policies = [random_policy(layers, draw) for draw in draws]
            turns.append(one_turn(case, policies, batch, share, workers))
            print(f"{case}, {batch} policies, round {number + 1}: {told(turns[-1])}", flush=True)
    return {
        "cpu_ratios": [turn.alone_s / turn.together_s for turn in turns],
        "cores_ratios": [turn.on_cores for turn in turns],
        "trials_per_hour": [3600 * count / turn.together_on_cores_s for turn in turns],
        "score_differences": [difference for turn in turns for difference in turn.apart],
    }


def one_turn(
    case: str, policies: Policies, batch: int, share: float, workers: Sequence[ProcessPoolExecutor]
) -> Turn:
    """Each way once."""
    halves = [policies[place::CORES] for place in range(CORES)]
    one_by_one = workers[0].submit(alone, case, halves[0], share).result()
    at_once = workers[0].submit(together, case, halves[0], batch, share).result()
    start = time.perf_counter()
    running = [
        worker.submit(together, case, half, batch, share)
        for worker, half in zip(workers, halves, strict=True)
    ]
    for half in running:
        half.result()
    together_on_cores_s = time.perf_counter() - start
    return Turn(
        alone_s=one_by_one.cpu_s,
        together_s=at_once.cpu_s,
        alone_on_the_clock_s=one_by_one.wall_s,
        together_on_cores_s=together_on_cores_s,
        apart=tuple(b - a for a, b in zip(one_by_one.scores, at_once.scores, strict=True)),
    )


def begin(case: str, share: float) -> None:
    """In a process of its own: load what is loaded late, and let the 32-bit model say what it teaches."""
    task, baseline = prepared(case)
    longest = PrecisionPolicy(dict.fromkeys(layers_of(task), "w1.58a8"))
    run_trial(task, baseline, longest, RECIPE, share=share, seed=SEED)
    together(case, [longest] * 2, 2, 0.05)


def alone(case: str, policies: Policies, share: float) -> Taken:
    task, baseline = prepared(case)
    clocks = time.process_time(), time.perf_counter()
    found = [run_trial(task, baseline, policy, RECIPE, share=share, seed=SEED) for policy in policies]
    return taken(clocks, found)


def together(case: str, policies: Policies, batch: int, share: float) -> Taken:
    task, baseline = prepared(case)
    clocks = time.process_time(), time.perf_counter()
    found = []
    with never_one_by_one():
        for first in range(0, len(policies), batch):
            at_once = policies[first : first + batch]
            found += run_trials(task, baseline, at_once, RECIPE, share=share, seed=SEED)
    return taken(clocks, found)


def taken(clocks: tuple[float, float], found: Sequence[object]) -> Taken:
    cpu_s, wall_s = time.process_time() - clocks[0], time.perf_counter() - clocks[1]
    results = [result for result in found if isinstance(result, TrialResult)]
    if len(results) < len(found):
        raise RuntimeError(f"Every policy must be trained; {len(found) - len(results)} failed.")
    return Taken(cpu_s=cpu_s, wall_s=wall_s, scores=tuple(result.score for result in results))


class _Refusal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(f"Policies must be trained together here. {record.getMessage()}")


@contextmanager
def never_one_by_one() -> Iterator[None]:
    """Fail where `run_trials` falls back to one trial after the other, which it only writes to its log."""
    log, handler = logging.getLogger(run_trials.__module__), _Refusal()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def told(turn: Turn) -> str:
    return (
        f"{turn.alone_s / turn.together_s:.2f} times the trials per processor hour, "
        f"{turn.on_cores:.2f} on {CORES} cores (bar {BAR:g}); "
        f"scores {100 * statistics.mean(turn.apart):+.2f} +- "
        f"{100 * statistics.pstdev(turn.apart):.2f} points apart"
    )


def layers_of(task: Task) -> list[str]:
    return [name for name, module in task.new_model().named_modules() if is_candidate(module)]


def random_policy(layers: list[str], draw: random.Random) -> PrecisionPolicy:
    """The first and last layer as in search_spaces/digits.yaml: no fewer than 8 bits of input."""
    last = len(layers) - 1
    return PrecisionPolicy(
        {layer: draw.choice(OUTER if place in (0, last) else INNER) for place, layer in enumerate(layers)}
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0)
    given = parser.parse_args()
    os.environ.update(environment(threads=1))  # read by the processes that are started from here
    cases = [given.only] if given.only else list(CASES)
    found = {case: measured(case, given.batch, given.rounds, given.share) for case in cases}
    if given.json is not None:
        settings = {"batch": given.batch, "share": given.share, "cores": CORES, "bar": BAR}
        write_atomically(
            given.json, json.dumps({"settings": settings, "cases": found}, indent=1) + "\n", "--json"
        )


if __name__ == "__main__":
    main()
