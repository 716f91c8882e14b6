"""One worker: a process of its own that runs trials, so that whatever they do ends nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Pipe, wait
from typing import Any

from mpsearch.errors import MpsearchError, RunError
from mpsearch.search.packed_work import PackedWork
from mpsearch.search.quantities import format_duration
from mpsearch.search.runner import Report
from mpsearch.search.trial_job import Outcome, TrialJob
from mpsearch.search.worker_death import cause_of_death, killed_for_memory
from mpsearch.search.worker_main import READY

STARTS = 3  # of workers, one after the other, that may die before one is ready; then the search ends
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[5:]; from mpsearch.search.worker_main import main; "
    "main(*map(int, sys.argv[1:4]), [int(cpu) for cpu in sys.argv[4].split(',') if cpu])"
)
_KEPT_OUTPUT = 8192  # bytes
_LAST_BREATH_S = 1.0  # between the end of a worker's pipe and its own


class WorkerProcess:
    """A child process that loads a search's work and runs its jobs, one at a time or some together.

        worker = WorkerProcess(packed, threads=work.threads, cpus=(0, 1))
        while not worker.is_ready:
            worker.wait()                  # or `multiprocessing.connection.wait(worker.sources, timeout)`
            worker.hear()
        worker.send(job)                   # or several, to be trained together
        reports = worker.hear()            # StepReports, and the Outcome that ends a job

    It starts at once, and is never restarted: where `is_alive` turns false, make another. A job whose worker
    died, or that was over its `limit_s` (the sum of those sent together; the worker is then killed), gets its
    Outcome from `hear` like any other: `failure` says why. The child is pinned to `cpus` where they are
    named, finds what this process can import, prints nowhere (the end of it goes into a failure), and dies
    with the thread that made it.

    Raises: RunError if no process can be started.
    """

    def __init__(self, packed: PackedWork, *, threads: int, cpus: Sequence[int] = ()) -> None:
        self._pipe, theirs = Pipe()
        ours, their_output = os.pipe()
        os.set_blocking(ours, False)
        self._output: int | None = ours
        self._tail = b""
        self._jobs: dict[int, TrialJob] = {}
        self._limit_s: float | None = None
        self._sent_at = 0.0
        self._is_ready = False
        self._death: str | None = None
        self._killed_before = killed_for_memory()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _PROGRAM),
                    *(str(theirs.fileno()), str(packed.fileno()), str(os.getpid())),
                    ",".join(map(str, cpus)),
                    *sys.path,
                ],
                env={**os.environ, **environment(threads)},
                stdin=subprocess.DEVNULL,
                stdout=their_output,
                stderr=their_output,
                pass_fds=(theirs.fileno(), packed.fileno()),
                start_new_session=True,  # Ctrl-C is for us; and whatever it starts can be ended with it
            )
        except OSError as error:
            self._pipe.close()
            self._close_output()
            raise RunError(
                f"A worker process must start; the system says: {error}. Search with fewer workers, or in "
                "this process: workers=0."
            ) from error
        finally:
            theirs.close()
            os.close(their_output)
        self._exit = os.pidfd_open(self._process.pid) if hasattr(os, "pidfd_open") else None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether the work is loaded: jobs may be sent before, they wait."""
        return self._is_ready

    @property
    def is_alive(self) -> bool:
        return self._death is None

    @property
    def death(self) -> str | None:
        """Why it ended, in a sentence; None while it lives."""
        return self._death

    @property
    def jobs(self) -> tuple[TrialJob, ...]:
        """What it was sent and has not ended."""
        return tuple(self._jobs.values())

    @property
    def sources(self) -> list[Any]:
        """What to wait for with `multiprocessing.connection.wait`: when one is ready, `hear`."""
        if not self.is_alive:
            return []
        return [source for source in (self._pipe, self._exit, self._output) if source is not None]

    @property
    def left_s(self) -> float | None:
        """Seconds until `hear` will end the jobs for their time limit; None for no limit."""
        if not self._jobs or self._limit_s is None:
            return None
        return max(self._sent_at + self._limit_s - time.monotonic(), 0.0)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until there is something to hear, the job's time is over, or `timeout_s` is."""
        limits = [limit for limit in (timeout_s, self.left_s) if limit is not None]
        if self.is_alive:
            wait(self.sources, min(limits, default=None))

    def send(self, *jobs: TrialJob) -> None:
        """Begin jobs; their time runs from here. To one that has just died too: `hear` then says so."""
        assert not self._jobs
        self._jobs = {job.number: job for job in jobs}
        limits = [job.limit_s for job in jobs if job.limit_s is not None]
        self._limit_s = sum(limits) if len(limits) == len(jobs) else None
        self._sent_at = time.monotonic()
        self._killed_before = killed_for_memory()
        with contextlib.suppress(OSError):
            self._pipe.send(jobs)

    def hear(self) -> list[Report]:
        """All that it has said since the last call; does not wait.

        Raises: MpsearchError if it could not load the work, or could not write weights.
        """
        if not self.is_alive:
            return []
        reports: list[Report] = []
        is_gone = self._has_exited()  # asked first: what it said before is then in the pipe
        self._read_output()
        try:
            while self._pipe.poll():
                message = self._pipe.recv()
                if isinstance(message, MpsearchError):
                    self._bury(f"The worker process stopped the search: {message}")
                    raise message
                if message == READY:
                    self._is_ready = True
                    continue
                if isinstance(message, Outcome):
                    self._jobs.pop(message.number, None)
                reports.append(message)
        except (EOFError, OSError):
            self._last_breath()
            is_gone = True
        if is_gone:
            self._bury()
            reports += self._failures()
        elif self.left_s == 0.0:
            limit = format_duration(self._limit_s or 0.0)
            self._bury(
                f"The trial must end within its time limit of {limit}; it had not, and was ended. Allow more "
                "by --trial-timeout, or train fewer steps."
            )
            reports += self._failures()
        return reports

    def kill(self) -> None:
        """End it at once, and all that it started. May be called twice."""
        if self.is_alive:
            self._bury("The worker process was ended with its search.")

    def _failures(self) -> list[Outcome]:
        jobs, self._jobs = self._jobs, {}
        seconds = (time.monotonic() - self._sent_at) / max(len(jobs), 1)
        failure = f"TrialError: {self._death}"
        return [Outcome(number=number, failure=failure, seconds=seconds) for number in jobs]

    def _has_exited(self) -> bool:
        return self._exit is not None and bool(wait([self._exit], 0))

    def _last_breath(self) -> None:
        """Its pipe is closed: let the process end by itself, so that it says why."""
        if self._exit is not None:
            wait([self._exit], _LAST_BREATH_S)

    def _bury(self, death: str | None = None) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # before its number may be given to another
        self._process.wait()
        self._read_output()
        self._death = death or cause_of_death(
            self._process.returncode,
            killed_before=self._killed_before,
            output=self._tail.decode("utf-8", "replace"),
        )
        self._pipe.close()
        self._close_output()
        if self._exit is not None:
            os.close(self._exit)

    def _read_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._output is not None:
                chunk = os.read(self._output, 1 << 16)
                if not chunk:  # all that could print are gone, or have closed theirs
                    self._close_output()
                self._tail = (self._tail + chunk)[-_KEPT_OUTPUT:]

    def _close_output(self) -> None:
        if self._output is not None:
            os.close(self._output)
            self._output = None


def environment(threads: int) -> dict[str, str]:
    """What torch and its libraries must find set when they are loaded.

    Threads that wait for each other give their processor up at once. Spinning, a step of two threads on two
    processors that other programs use too takes 1.5 s in place of 0.2 s; what it gains where they are
    free is not settled. Memory of activations goes back to the allocator, not to the system, which would
    clear it for the next step: a tenth of the time of small models. What the user has set stays.
    """
    passive = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
    kept = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        **{name: os.environ.get(name, value) for name, value in {**passive, **kept}.items()},
    }
