"""Trials on this machine: in this process, or in processes of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait

from mpsearch.errors import RunError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.processors import usable_cpus
from mpsearch.search.runner import Report, Runner
from mpsearch.search.trial_job import LoadedWork, StepReport, TrialJob, Work
from mpsearch.search.worker_process import STARTS, WorkerProcess


class InProcessRunner(Runner):
    """One trial at a time, in the process that searches.

    `wait` runs the trial; `on_step` is called from within it.
    """

    def __init__(
        self, loaded: LoadedWork, threads: int, on_step: Callable[[StepReport], None] | None = None
    ) -> None:
        self._loaded = loaded
        self._threads = threads
        self._on_step = on_step
        self._job: TrialJob | None = None

    @property
    def capacity(self) -> int:
        return 1

    @property
    def running(self) -> int:
        return int(self._job is not None)

    def submit(self, job: TrialJob) -> None:
        """A job's time limit is not kept: nobody is there to end it (`Placement` refuses one)."""
        assert self._job is None
        self._job = job

    def wait(self) -> list[Report]:
        from mpsearch.profiling.torch_threads import torch_threads  # noqa: PLC0415 - workers need no torch here

        job = self._job
        assert job is not None

        def on_step(step: int, total: int, loss: float) -> None:
            if self._on_step is not None:
                self._on_step(StepReport(number=job.number, step=step, total=total, loss=loss))

        with torch_threads(min(self._threads, len(usable_cpus()))):
            outcome = self._loaded.run(job, on_step)
        self._job = None
        return [outcome]

    def close(self) -> None:
        self._job = None


class ProcessPoolRunner(Runner):
    """`workers` processes that live as long as the search; each loads task and baseline once.

    The processors are dealt out among them and torch gets as many threads: two unpinned torch processes on
    two cores run no faster than one after the other. A worker that dies or takes too long fails its trial
    and is replaced.

    Raises: ConfigError if the work cannot be sent to another process.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self._packed = PackedWork.of(work)
        self._threads = work.threads
        self._failed_starts = [0] * workers
        self._waiting: deque[TrialJob] = deque()
        cpus = usable_cpus()
        self._shares = [tuple(cpus[i::workers]) or (cpus[i % len(cpus)],) for i in range(workers)]
        self._workers = [self._begun(share) for share in self._shares]

    @property
    def capacity(self) -> int:
        return len(self._shares)

    @property
    def running(self) -> int:
        return len(self._waiting) + sum(worker.job is not None for worker in self._workers)

    def submit(self, job: TrialJob) -> None:
        self._waiting.append(job)
        self._deal()

    def wait(self) -> list[Report]:
        reports: list[Report] = []
        while not reports:
            self._deal()
            limits = [worker.left_s for worker in self._workers if worker.left_s is not None]
            wait([source for worker in self._workers for source in worker.sources], min(limits, default=None))
            for place, worker in enumerate(self._workers):
                reports += worker.hear()
                if not worker.is_alive:
                    self._replace(place, worker)
        return reports

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers = []
        self._packed.close()

    def _begun(self, cpus: tuple[int, ...]) -> WorkerProcess:
        return WorkerProcess(self._packed, threads=min(len(cpus), self._threads), cpus=cpus)

    def _deal(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.is_ready and worker.is_alive and worker.job is None:
                worker.send(self._waiting.popleft())

    def _replace(self, place: int, worker: WorkerProcess) -> None:
        self._failed_starts[place] = 0 if worker.is_ready else self._failed_starts[place] + 1
        if self._failed_starts[place] >= STARTS:
            raise RunError(
                f"Worker processes must start; {STARTS} died in a row before their first trial. The "
                f"last one: {worker.death} Run trials in the process that searches, to see why: workers=0."
            )
        self._workers[place] = self._begun(self._shares[place])
