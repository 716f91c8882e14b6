"""Trials on this machine: in this process, or in processes of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait

from mpsearch.errors import RunError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.processors import usable_cpus
from mpsearch.search.runner import Report, Runner
from mpsearch.search.trial_job import LoadedWork, Outcome, StepReport, TrialJob, Work
from mpsearch.search.worker_process import STARTS, WorkerProcess


class InProcessRunner(Runner):
    """One trial at a time, or `batch` of them together, in the process that searches.

    `wait` runs what was submitted; `on_step` is called from within it.
    """

    def __init__(
        self,
        loaded: LoadedWork,
        threads: int,
        on_step: Callable[[StepReport], None] | None = None,
        *,
        batch: int = 1,
    ) -> None:
        self._loaded = loaded
        self._threads = threads
        self._on_step = on_step
        self._batch = batch
        self._jobs: list[TrialJob] = []

    @property
    def capacity(self) -> int:
        return self._batch

    @property
    def batch(self) -> int:
        return self._batch

    @property
    def running(self) -> int:
        return len(self._jobs)

    def submit(self, job: TrialJob) -> None:
        """A job's time limit is not kept: nobody is there to end it (`Placement` refuses one)."""
        assert len(self._jobs) < self._batch
        self._jobs.append(job)

    def wait(self) -> list[Report]:
        from mpsearch.profiling.torch_threads import torch_threads  # noqa: PLC0415 - workers need no torch here

        first = self._jobs[0]

        def on_step(step: int, total: int, loss: float) -> None:
            if self._on_step is not None:
                self._on_step(StepReport(number=first.number, step=step, total=total, loss=loss))

        with torch_threads(min(self._threads, len(usable_cpus()))):
            if len(self._jobs) == 1:
                reports: list[Report] = [self._loaded.run(first, on_step)]
            else:
                reports = list(self._loaded.run_together(self._jobs, self._on_step))
        self._jobs = []
        return reports

    def close(self) -> None:
        self._jobs = []


class ProcessPoolRunner(Runner):
    """`workers` processes that live as long as the search; each loads task and baseline once.

    The processors are dealt out among them and torch gets as many threads: two unpinned torch processes on
    two cores run no faster than one after the other. A worker that dies or takes too long fails its trial
    and is replaced. With `batch` a worker is given that many trials together; if it dies of them, each is run
    again alone.

    Raises: ConfigError if the work cannot be sent to another process.
    """

    def __init__(self, work: Work, workers: int, *, batch: int = 1) -> None:
        self._batch = batch
        self._packed = PackedWork.of(work)
        self._threads = work.threads
        self._failed_starts = [0] * workers
        self._waiting: deque[TrialJob] = deque()
        self._alone: deque[TrialJob] = deque()  # to be run again
        cpus = usable_cpus()
        self._shares = [tuple(cpus[i::workers]) or (cpus[i % len(cpus)],) for i in range(workers)]
        self._workers = [self._begun(share) for share in self._shares]

    @property
    def capacity(self) -> int:
        return len(self._shares) * self._batch

    @property
    def batch(self) -> int:
        return self._batch

    @property
    def running(self) -> int:
        held = sum(len(worker.jobs) for worker in self._workers)
        return len(self._waiting) + len(self._alone) + held

    def submit(self, job: TrialJob) -> None:
        self._waiting.append(job)
        if self._batch == 1:  # else others may come with it: `wait` deals
            self._deal()

    def wait(self) -> list[Report]:
        reports: list[Report] = []
        while not reports:
            self._deal()
            limits = [worker.left_s for worker in self._workers if worker.left_s is not None]
            wait([source for worker in self._workers for source in worker.sources], min(limits, default=None))
            for place, worker in enumerate(self._workers):
                jobs = worker.jobs
                reports += self._without_lost_batch(worker, jobs, worker.hear())
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
        free = [worker for worker in self._workers if worker.is_ready and worker.is_alive and not worker.jobs]
        for place, worker in enumerate(free):
            if self._alone:
                worker.send(self._alone.popleft())
            elif self._waiting:
                fair = -(-len(self._waiting) // (len(free) - place))
                worker.send(*(self._waiting.popleft() for _ in range(min(fair, self._batch))))

    def _without_lost_batch(
        self, worker: WorkerProcess, jobs: tuple[TrialJob, ...], reports: list[Report]
    ) -> list[Report]:
        """The reports but for those of jobs that died together: which of them did it is not known."""
        if worker.is_alive or len(jobs) == 1:
            return reports
        lost = {
            report.number
            for report in reports
            if isinstance(report, Outcome) and report.failure == f"TrialError: {worker.death}"
        }
        self._alone += [job for job in jobs if job.number in lost]
        return [report for report in reports if report.number not in lost]

    def _replace(self, place: int, worker: WorkerProcess) -> None:
        self._failed_starts[place] = 0 if worker.is_ready else self._failed_starts[place] + 1
        if self._failed_starts[place] >= STARTS:
            raise RunError(
                f"Worker processes must start; {STARTS} died in a row before their first trial. The "
                f"last one: {worker.death} Run trials in the process that searches, to see why: workers=0."
            )
        self._workers[place] = self._begun(self._shares[place])
