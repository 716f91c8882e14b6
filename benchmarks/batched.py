"""How many trials an hour training several policies together makes, beside one after the other.

    python benchmarks/batched.py [--only digits-cnn] [--batch 8] [--rounds 3] [--share 1.0] [--json OUT]

Random policies of each model are scored both ways, in turns; a round gives one ratio of each. On one thread,
by `run_trial` one by one and by `run_trials` together: a ratio of processor seconds, which other programs on
the machine distort least, and how far the scores of both ways are apart. On two cores, one trial at a time
(on one thread, as a search trains models of this size) and two processes that each train `batch` policies
together: a ratio of trials per hour by the wall clock.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import TrialError
from mpsearch.models.quantizable import is_candidate
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import Task, load_task
from mpsearch.training.trial import run_trial

RECIPE = TrialRecipe(steps=200, high_bit_steps=40, batch_size=50)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "digits-mlp": ("digits", {"model": "mlp"}),
    "digits-cnn": ("digits", {"model": "cnn"}),
    "speech-ds-cnn": ("speech_digits", {}),
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


@lru_cache(maxsize=1)
def prepared(case: str) -> tuple[Task, Baseline]:
    name, args = CASES[case]
    task = load_task(name, args)
    return task, trained_baseline(task)


def measured(case: str, batch: int, rounds: int, share: float) -> dict[str, Any]:
    """All rounds of one model."""
    task, _ = prepared(case)
    layers = [name for name, module in task.new_model().named_modules() if is_candidate(module)]
    turns = []
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        for number in range(rounds):
            draws = [random.Random(1000 * number + place) for place in range(CORES * batch)]
            policies = [random_policy(layers, draw) for draw in draws]
            turns.append(one_turn(case, policies, share, number, pool))
            print(f"{case}, {batch} policies, round {number + 1}: {told(turns[-1])}", flush=True)
    apart = [difference for turn in turns for difference in turn.apart]
    return {
        "cpu_ratios": [turn.alone_s / turn.together_s for turn in turns],
        "cores_ratios": [turn.on_cores for turn in turns],
        "trials_per_hour": [3600 * CORES * batch / turn.together_on_cores_s for turn in turns],
        "score_differences": apart,
    }


def one_turn(case: str, policies: Policies, share: float, seed: int, pool: ProcessPoolExecutor) -> Turn:
    """Each way once, after one short trial that loads what is loaded late."""
    task, baseline = prepared(case)
    halves = [policies[place::CORES] for place in range(CORES)]
    in_pool = [(case, half, seed) for half in halves]
    for _ in pool.map(_together, *zip(*in_pool, strict=True), [0.05] * CORES):
        pass
    torch.set_num_threads(1)
    run_trial(task, baseline, policies[0], RECIPE, share=0.05, seed=seed)
    first = halves[0]
    wall, start = time.perf_counter(), time.process_time()
    alone = [run_trial(task, baseline, policy, RECIPE, share=share, seed=seed) for policy in first]
    alone_s, alone_on_the_clock_s = time.process_time() - start, time.perf_counter() - wall
    start = time.process_time()
    together = run_trials(task, baseline, first, RECIPE, share=share, seed=seed)
    together_s = time.process_time() - start
    apart = []
    for one, other in zip(alone, together, strict=True):
        assert not isinstance(other, TrialError)
        apart.append(other.score - one.score)
    wall = time.perf_counter()
    for _ in pool.map(_together, *zip(*in_pool, strict=True), [share] * CORES):
        pass
    together_on_cores_s = time.perf_counter() - wall
    return Turn(
        alone_s=alone_s,
        together_s=together_s,
        alone_on_the_clock_s=alone_on_the_clock_s,
        together_on_cores_s=together_on_cores_s,
        apart=tuple(apart),
    )


def _together(case: str, policies: Policies, seed: int, share: float) -> None:
    torch.set_num_threads(1)
    task, baseline = prepared(case)
    run_trials(task, baseline, policies, RECIPE, share=share, seed=seed)


def told(turn: Turn) -> str:
    return (
        f"{turn.alone_s / turn.together_s:.2f} times the trials per processor hour, "
        f"{turn.on_cores:.2f} on {CORES} cores (bar {BAR:g}); "
        f"scores {100 * statistics.mean(turn.apart):+.2f} +- "
        f"{100 * statistics.pstdev(turn.apart):.2f} points apart"
    )


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
    cases = [given.only] if given.only else list(CASES)
    found = {case: measured(case, given.batch, given.rounds, given.share) for case in cases}
    if given.json is not None:
        settings = {"batch": given.batch, "share": given.share, "cores": CORES, "bar": BAR}
        write_atomically(
            given.json, json.dumps({"settings": settings, "cases": found}, indent=1) + "\n", "--json"
        )


if __name__ == "__main__":
    main()
