"""How many trials an hour training several policies together makes, beside one after the other.

    python benchmarks/batched.py --json OUT [--only digits-cnn] [--batch 8] [--rounds 3] [--share 1.0]

Random policies of each model are scored by `run_trial` one by one and by `run_trials` together, in turns, on
one thread, as a worker of a search runs them; a round gives one ratio of processor seconds (other programs on
the machine distort wall-clock time more) and one of wall-clock seconds. Scores of both ways are compared.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from mpsearch.errors import TrialError
from mpsearch.models.quantizable import is_candidate
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.training.baseline import trained_baseline
from mpsearch.training.batched_trials import run_trials
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.task import load_task
from mpsearch.training.trial import run_trial

CASES: dict[str, tuple[str, dict[str, Any], TrialRecipe]] = {
    "digits-cnn": ("digits", {"model": "cnn"}, TrialRecipe(steps=200, high_bit_steps=40, batch_size=50)),
    "digits-mlp": ("digits", {"model": "mlp"}, TrialRecipe(steps=200, high_bit_steps=40, batch_size=50)),
    "speech-ds-cnn": ("speech_digits", {}, TrialRecipe(steps=200, high_bit_steps=40, batch_size=50)),
}
OUTER = ("w1.58a8", "w4a8", "w8a8", "w32a32")
INNER = ("w1a1", "w1a8", *OUTER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = [given.only] if given.only else list(CASES)
    found = {case: measured(case, given.batch, given.rounds, given.share) for case in cases}
    given.json.write_text(json.dumps({"batch": given.batch, "share": given.share, "cases": found}, indent=1))


def measured(case: str, batch: int, rounds: int, share: float) -> dict[str, Any]:
    name, args, recipe = CASES[case]
    task = load_task(name, args)
    baseline = trained_baseline(task)
    layers = [name for name, module in task.new_model().named_modules() if is_candidate(module)]
    cpu, wall, differences, per_hour = [], [], [], []
    for turn in range(rounds):
        policies = [random_policy(layers, random.Random(1000 * turn + place)) for place in range(batch)]
        run_trial(task, baseline, policies[0], recipe, share=0.05, seed=turn)  # loads what is loaded late
        alone_at = clocks()
        alone = [run_trial(task, baseline, policy, recipe, share=share, seed=turn) for policy in policies]
        together_at = clocks()
        together = run_trials(task, baseline, policies, recipe, share=share, seed=turn)
        end_at = clocks()
        spent = [(b - a, c - b) for a, b, c in zip(alone_at, together_at, end_at, strict=True)]
        cpu.append(spent[0][0] / spent[0][1])
        wall.append(spent[1][0] / spent[1][1])
        per_hour.append(tuple(3600 * batch / seconds for seconds in spent[0]))
        for one, other in zip(alone, together, strict=True):
            assert not isinstance(other, TrialError)
            differences.append(other.score - one.score)
        print(
            f"{case}, {batch} policies: {cpu[-1]:.2f} times the trials per processor hour "
            f"({per_hour[-1][0]:.0f} -> {per_hour[-1][1]:.0f}), {wall[-1]:.2f} per hour; scores differ by "
            f"{100 * statistics.mean(differences):+.2f} +- {100 * statistics.pstdev(differences):.2f} points",
            flush=True,
        )
    return {
        "cpu_ratios": cpu,
        "wall_ratios": wall,
        "trials_per_cpu_hour": per_hour,
        "score_differences": differences,
    }


def clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def random_policy(layers: list[str], draw: random.Random) -> PrecisionPolicy:
    """The first and last layer as in search_spaces/digits.yaml: no fewer than 8 bits of input."""
    last = len(layers) - 1
    return PrecisionPolicy(
        {layer: draw.choice(OUTER if place in (0, last) else INNER) for place, layer in enumerate(layers)}
    )


if __name__ == "__main__":
    main()
