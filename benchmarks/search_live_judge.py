"""Fronts of live searches, judged by a longer fine-tune with a seed that no search used."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.atomic_file import append_line
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.run import Run
from mpsearch.search.space import TaskReference
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.recipe import TrialRecipe

Floats = NDArray[np.float64]

SEED = 1000
MARGIN = 0.1


@dataclass(frozen=True)
class Judge:
    """Trains policies by `recipe`; what it knows lies in a file, a line a policy."""

    task: TaskReference
    recipe: TrialRecipe
    path: Path

    def scores(self) -> dict[str, float]:
        """Policy -> score; a torn line is left out."""
        return {line["policy"]: line["score"] for line in self._lines()}

    def seconds_each(self) -> float | None:
        spent = [line["seconds"] for line in self._lines()]
        return sum(spent) / len(spent) if spent else None

    def left(self, run: Run) -> int:
        """How many policies of a front are not judged yet."""
        known = self.scores()
        return sum(key_of(record.policy) not in known for record in run.front.records)

    def train_front(self, run: Run, end: float | None) -> None:
        """Judge the policies of a front, none of them twice; none is begun after `end`, by the clock."""
        known = self.scores()
        for record in run.front.records:
            key = key_of(record.policy)
            if key in known or (end is not None and time.monotonic() >= end):
                continue
            score, seconds = self._train(record.policy)
            known[key] = score
            append_line(self.path, json.dumps({"policy": key, "score": score, "seconds": seconds}))
            print(f"judged {run.path.name} trial {record.number}: {100 * score:.2f}%", flush=True)

    def _train(self, policy: PrecisionPolicy) -> tuple[float, float]:
        from mpsearch.training.trial import run_trial  # noqa: PLC0415 - torch, which `--list` need not wait for

        task, baseline = self._trained
        result = run_trial(task, baseline, policy, self.recipe, seed=SEED)
        return result.score, result.seconds

    @cached_property
    def _trained(self) -> tuple[Any, Any]:
        from mpsearch.training.baseline import trained_baseline  # noqa: PLC0415 - as above
        from mpsearch.training.task import load_task  # noqa: PLC0415 - as above

        task = load_task(self.task.name, dict(self.task.args))
        return task, trained_baseline(task)

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            try:
                found.append(json.loads(line))
            except ValueError:  # a kill while it was written
                continue
        return found


def key_of(policy: PrecisionPolicy) -> str:
    return " ".join(f"{layer}={scheme}" for layer, scheme in policy.items())


def judged_lines(runs: Mapping[tuple[str, int], Run], judge: Judge) -> list[dict[str, Any]]:
    """A line a search: the share of the hypervolume of all fronts together that its own dominates.

    The reference point: what the front of all fronts has at worst in each objective, and a tenth of its
    range beyond. Searches whose front is not wholly judged yet are left out.
    """
    known = judge.scores()
    whole = {name: run for name, run in runs.items() if not judge.left(run)}
    if not whole:
        return []
    points = {name: _points(run, run.front.records, known) for name, run in whole.items()}
    every = np.concatenate(list(points.values()))
    best = every[non_dominated(every)]
    ranges = np.ptp(best, axis=0)
    low, corner = best.min(axis=0), best.max(axis=0) + MARGIN * np.where(ranges > 0, ranges, 1.0)
    scaled = {name: (of_run - low) / (corner - low) for name, of_run in points.items()}
    one = np.ones(every.shape[1])
    whole_volume = hypervolume((best - low) / (corner - low), one)
    return [
        {
            "sampler": sampler,
            "seed": seed,
            "trials": len(run.trainings),
            "steps": run.space.trial.steps,
            "judged_steps": judge.recipe.steps,
            "front": len(run.front.records),
            "hypervolume": hypervolume(scaled[sampler, seed], one) / whole_volume,
            "front_dominated_by_others": _dominated(sampler, seed, points),
            "score_gain": float(np.mean([known[key_of(r.policy)] - r.accuracy for r in run.front.records])),
            "seconds": sum(training.seconds for training in run.trainings),
        }
        for (sampler, seed), run in whole.items()
    ]


def printed(lines: Sequence[Mapping[str, Any]]) -> str:
    text = [f"{'sampler':10}  seed  trials  front  hypervolume  dominated   hours"]
    text += [
        f"{line['sampler']:10}  {line['seed']:4}  {line['trials']:6}  {line['front']:5}  "
        f"{100 * line['hypervolume']:10.2f}%  {line['front_dominated_by_others']:9}  "
        f"{line['seconds'] / 3600:6.2f}"
        for line in lines
    ]
    return "\n".join(text if lines else ["No search is finished and judged yet."])


def _points(run: Run, records: Sequence[TrialRecord], scores: Mapping[str, float]) -> Floats:
    """By judged scores, all minimised. Shape: (R, M)."""
    return np.array(
        [
            [
                1.0 - scores[key_of(record.policy)] if objective.is_learnt else objective.of(record.costs)
                for objective in run.objectives
            ]
            for record in records
        ]
    )


def _dominated(sampler: str, seed: int, points: Mapping[tuple[str, int], Floats]) -> int:
    """How many policies of a front are worse in everything than one of another sampler's."""
    others = np.concatenate([of_run for name, of_run in points.items() if name != (sampler, seed)] or [[]])
    if not len(others):
        return 0
    return int(sum((others < point).all(axis=1).any() for point in points[sampler, seed]))
