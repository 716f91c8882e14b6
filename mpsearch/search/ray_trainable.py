"""What runs on a node of a Ray cluster: a light actor, and the worker process that it looks after."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune

from mpsearch.errors import MpsearchError, RunError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.run_facts import installed_version
from mpsearch.search.trial_job import StepReport, TrialJob
from mpsearch.search.worker_process import STARTS, WorkerProcess

JOB = "job"  # key of a trial's configuration
STEP, OUTCOME, WEIGHTS, ERROR, DONE = "step", "outcome", "weights", "error", "done"  # keys of results


@dataclass(frozen=True, slots=True)
class Equipment:
    """What each actor gets from the object store, once.

    `payload` is the packed work, which only the worker process opens: an actor needs no torch. `threads` are
    those of one trial; `versions` those it was packed with. A trial is reported every `report_every_s`.
    """

    payload: bytes
    threads: int
    versions: dict[str, str]
    report_every_s: float


def versions() -> dict[str, str]:
    """What must be the same on all machines of a search: work travels as pickled objects."""
    return {"Python": platform.python_version(), "mpsearch": installed_version()}


class TrialActor(tune.Trainable):
    """Hands job after job to its worker process, which fails alone: the same code as without Ray."""

    def setup(  # type: ignore[override] # `tune.with_parameters` adds arguments
        self, config: dict[str, Any], equipment: Equipment
    ) -> None:
        self._equipment = equipment
        self._packed = PackedWork.from_bytes(equipment.payload)
        self._folder = Path(tempfile.mkdtemp(dir=self.logdir))  # of Ray's session: it goes with that
        self._worker: WorkerProcess | None = None
        self._failed_starts = 0
        self._job = self._placed(config[JOB])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._job = self._placed(new_config[JOB])
        return True

    def step(self) -> dict[str, Any]:
        """Wait for the outcome, but not for long: an actor that waits hears nothing of the end."""
        until = time.monotonic() + self._equipment.report_every_s
        latest: StepReport | None = None
        try:
            while (left_s := until - time.monotonic()) > 0:
                worker = self._at_work()
                worker.wait(left_s)
                for report in worker.hear():
                    if isinstance(report, StepReport):
                        latest = report
                    else:
                        return {DONE: True, OUTCOME: report, WEIGHTS: self._weights()}
        except MpsearchError as error:
            return {DONE: True, ERROR: error}
        step = {} if latest is None else {STEP: (latest.step, latest.total, latest.loss)}
        return {DONE: False, **step}

    def cleanup(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._packed.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _at_work(self) -> WorkerProcess:
        """A worker that has the job or loads the work; another one where the last has died before the job."""
        worker = self._worker
        if worker is None:
            self._require_same_versions()
        elif worker.is_alive:
            if not worker.jobs:
                worker.hear()  # it may have died since the last job
        elif not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise RunError(
                    f"Worker processes must start; {STARTS} on {platform.node()} died before their first "
                    f"trial. {worker.death} Search with workers=0 and without Ray to see why."
                )
        if worker is None or not worker.is_alive:
            worker = WorkerProcess(self._packed, threads=self._equipment.threads)
        if worker.is_alive and worker.is_ready and not worker.jobs:
            worker.send(self._job)  # not before it is ready: the job's time limit runs from here
        self._worker = worker
        return worker

    def _require_same_versions(self) -> None:
        here, there = versions(), self._equipment.versions
        if here != there:
            said = [", ".join(map(" ".join, found.items())) for found in (here, there)]
            raise RunError(
                f"All machines of a cluster must run the same; {platform.node()} has {said[0]}, the search "
                f"{said[1]}. Install the same there."
            )

    def _placed(self, job: TrialJob) -> TrialJob:
        """The job, its weights on this machine; the runner has them brought to that of the search."""
        return replace(job, weights=self._folder / f"{job.number}.safetensors")

    def _weights(self) -> bytes | None:
        if not self._job.weights.exists():
            return None
        weights = self._job.weights.read_bytes()
        self._job.weights.unlink()
        return weights
