"""Trials on this machine: in this process, or in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from mpsearch.errors import ConfigError, MpsearchError, RunError
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.processors import usable_cpus
from mpsearch.search.runner import Report, Runner
from mpsearch.search.trial_job import LoadedWork, Outcome, StepReport, TrialJob, Work

_STARTS = 3  # times that workers may die in a row before any of them was ready
_GOODBYE_S = 2.0


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
        assert self._job is None
        self._job = job

    def wait(self) -> list[Report]:
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


@dataclass(slots=True, eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    cpus: tuple[int, ...]
    is_ready: bool = False
    job: TrialJob | None = None


class ProcessPoolRunner(Runner):
    """`workers` processes that live as long as the search; each loads task and baseline once.

    The processors are dealt out among them and torch gets as many threads: two unpinned torch processes on
    two cores run no faster than one after the other. A worker that dies (killed, out of memory) fails
    its trial and is replaced.

    Raises: ConfigError if the work cannot be sent to another process.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self._payload = _pickled(work)
        self._context = multiprocessing.get_context("spawn")  # a forked torch may hang
        self._failed_starts = 0
        self._waiting: deque[TrialJob] = deque()
        cpus = usable_cpus()
        shares = [tuple(cpus[index::workers]) or (cpus[index % len(cpus)],) for index in range(workers)]
        self._workers = [self._start(share) for share in shares]

    @property
    def capacity(self) -> int:
        return len(self._workers)

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
            sources = [source for w in self._workers for source in (w.pipe, w.process.sentinel)]
            ready = wait(sources)
            for place, worker in enumerate(self._workers):
                if worker.pipe in ready or worker.process.sentinel in ready:
                    reports += self._hear(place, worker)
        return reports

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_GOODBYE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers = []

    @property
    def process_ids(self) -> list[int]:
        return [worker.process.pid or 0 for worker in self._workers]

    def _start(self, cpus: tuple[int, ...]) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._payload, cpus), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process=process, pipe=ours, cpus=cpus)

    def _deal(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.job is None and worker.is_ready:
                worker.job = self._waiting.popleft()
                with contextlib.suppress(OSError):  # it just died: `wait` sees that
                    worker.pipe.send(worker.job)

    def _hear(self, place: int, worker: _Worker) -> list[Report]:
        """All that a worker has said; replace it if it is dead."""
        reports: list[Report] = []
        is_dead = not worker.process.is_alive()
        with contextlib.suppress(EOFError, OSError):
            while worker.pipe.poll():
                message = worker.pipe.recv()
                if isinstance(message, MpsearchError):
                    raise message
                if message is None:
                    worker.is_ready = True
                    self._failed_starts = 0
                    continue
                if isinstance(message, Outcome):
                    worker.job = None
                reports.append(message)
        if is_dead or not worker.process.is_alive():
            worker.process.join()
            worker.pipe.close()
            self._failed_starts += not worker.is_ready
            if self._failed_starts >= _STARTS:
                raise RunError(
                    f"Worker processes must start; {_STARTS} died before their first trial (exit code "
                    f"{worker.process.exitcode}). Search with one worker to see why."
                )
            if worker.job is not None:
                reason = _cause_of_death(worker.process.exitcode)
                reports.append(Outcome(number=worker.job.number, failure=f"TrialError: {reason}"))
            self._workers[place] = self._start(worker.cpus)
        return reports


def serve(pipe: Connection, payload: bytes, cpus: tuple[int, ...]) -> None:
    """A worker's life: load, say so (None), then run jobs until the pipe closes."""
    import os  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    import torch  # noqa: PLC0415

    with contextlib.suppress(EOFError, OSError):  # the driver is gone
        try:
            work: Work = pickle.loads(payload)  # noqa: S301 - from our own parent, over a pipe
            torch.set_num_threads(min(len(cpus), work.threads))
            loaded = work.load()
            pipe.send(None)
            while True:
                job: TrialJob = pipe.recv()

                def on_step(step: int, total: int, loss: float, number: int = job.number) -> None:
                    pipe.send(StepReport(number=number, step=step, total=total, loss=loss))

                pipe.send(loaded.run(job, on_step))
        except MpsearchError as error:
            pipe.send(error)


def _pickled(work: Work) -> bytes:
    try:
        return pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"With several workers the task must be sent to other processes; got: {error}. Name it as "
            "`package.module:function`, build it from importable functions, or use one worker."
        ) from error


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"The worker process was ended by {name}{hint}."
    return f"The worker process ended with exit code {exit_code}."
