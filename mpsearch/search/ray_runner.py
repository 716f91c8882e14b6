"""Trials over Ray Tune: on this machine's cluster or on many machines."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing

from ray import tune

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import RunError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.placement import Placement
from mpsearch.search.ray_address import TUNE_THREAD
from mpsearch.search.ray_cluster import RayCluster
from mpsearch.search.ray_searcher import EndOfSearch, JobDesk, StudySearcher, TrialEvents
from mpsearch.search.ray_trainable import Equipment, TrialActor, versions
from mpsearch.search.runner import Report, Runner
from mpsearch.search.trial_job import Outcome, TrialJob, Work

_RETRIES = 3  # of a trial whose node or actor was lost
_REPORTS_PER_S = 16.0  # of all trials together: each costs the driver some milliseconds
_END_S = 15.0
_LOOK_S = 2.0  # how often the head is looked at where nothing happens


class RayRunner(Runner):
    """Each job is a Ray Tune trial; our search loop asks and tells, Tune places, retries and reuses actors.

    The work goes to the object store once, and from there to each actor once. Weights come back through the
    store and are written here. A trial that is lost with its node or actor is begun again elsewhere, three
    times at most.

    Raises: RunError as `RayCluster`, or if no node is large enough for a trial; from `wait`, if the head is
    gone.
    """

    def __init__(self, work: Work, placement: Placement) -> None:
        assert placement.ray is not None
        with closing(PackedWork.of(work)) as packed:
            payload = packed.to_bytes()
        self._cpus = placement.cpus_per_trial or float(work.threads)
        self._gpus = placement.gpus_per_trial
        self._most = placement.workers
        self._jobs: dict[int, TrialJob] = {}
        self._desk = JobDesk()
        self._thread: threading.Thread | None = None
        self._scope = ExitStack()
        try:
            self._cluster = self._scope.enter_context(RayCluster(placement.ray))
            self._cluster.require_slot(self._cpus, self._gpus)
            equipment = Equipment(
                payload=payload,
                threads=max(1, min(work.threads, int(self._cpus))),
                versions=versions(),
                report_every_s=max(1.0, self.capacity / _REPORTS_PER_S),
            )
            folder = str(self._cluster.folder / "tune")
            self._thread = threading.Thread(
                target=self._tune, args=(equipment, folder), name=TUNE_THREAD, daemon=True
            )
            self._thread.start()
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """At least one: nodes that left may come back."""
        slots = max(1, self._cluster.slots(self._cpus, self._gpus))
        return slots if self._most is None else min(slots, self._most)

    @property
    def running(self) -> int:
        return len(self._jobs)

    def submit(self, job: TrialJob) -> None:
        self._jobs[job.number] = job
        self._desk.submit(job)

    def wait(self) -> list[Report]:
        reports: list[Report] = []
        while not (arrivals := self._desk.collect(_LOOK_S)):
            self._cluster.require_head()
        for arrival in arrivals:
            if isinstance(arrival.report, Outcome):
                job = self._jobs.pop(arrival.report.number)
                if arrival.weights is not None:
                    write_atomically(job.weights, arrival.weights)
            reports.append(arrival.report)
        return reports

    def close(self) -> None:
        self._desk.close()
        if self._thread is not None:
            self._thread.join(_END_S if self._cluster.has_head else 0.0)
            self._thread = None
        self._scope.close()
        self._jobs.clear()

    def _tune(self, equipment: Equipment, folder: str) -> None:
        try:
            searcher = StudySearcher(self._desk)
            trainable = tune.with_parameters(TrialActor, equipment=equipment)
            tune.Tuner(
                tune.with_resources(trainable, {"cpu": self._cpus, "gpu": self._gpus}),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: f"trial_{trial.trial_id}",
                    trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    verbose=0,
                    stop=EndOfSearch(self._desk),
                    callbacks=[TrialEvents(self._desk, searcher)],
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=_RETRIES),
                ),
            ).fit()
        except Exception as error:  # whatever stops Tune stops the search, in the search's own thread
            text = " ".join(str(error).split())
            name = type(error).__name__
            self._desk.fail(RunError(f"Ray Tune must keep running; it stopped with {name}: {text}"))
