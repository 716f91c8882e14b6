"""What runs on a node of a Ray cluster: a light actor, and the worker that it looks after."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
from ray import tune

from mpsearch.search.trial_job import TrialJob

JOB = "job"  # key of a trial's configuration
STEP, OUTCOME, WEIGHTS, ERROR, DONE = "step", "outcome", "weights", "error", "done"  # keys of results


class TrialActor(tune.Trainable):
    """One actor that runs trial after trial."""

    def setup(self, config: dict[str, Any], payload: bytes) -> None:  # type: ignore[override]
        self._folder = Path(tempfile.mkdtemp(prefix="mpsearch-trial-"))
        self._loaded = cloudpickle.loads(payload).load()
        self._begin(config[JOB])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config[JOB])
        return True

    def step(self) -> dict[str, Any]:
        outcome = self._loaded.run(self._job)
        weights = None
        if self._job.weights.exists():
            weights = self._job.weights.read_bytes()
            self._job.weights.unlink()
        return {DONE: True, OUTCOME: outcome, WEIGHTS: weights}

    def cleanup(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, job: TrialJob) -> None:
        self._job = replace(job, weights=self._folder / "weights.safetensors")
