"""The program of a worker process: load the work, then run one job, or one batch of jobs, after the other.

Torch is not imported here: work that does without it starts in a tenth of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.search.packed_work import read_packed
from mpsearch.search.trial_job import LoadedWork, Outcome, StepReport, TrialJob

READY: Final = "ready"
_PR_SET_PDEATHSIG = 1
_MORE_KILLABLE = 300  # of 1000: where memory is short the system shall end a worker, not the search


def main(pipe_file: int, work_file: int, parent: int, cpus: Sequence[int]) -> None:
    """Serve the parent at the other end of `pipe_file` until it is gone; end with it, whatever runs."""
    _end_with(parent, pipe_file)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_MORE_KILLABLE))
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    pipe = Connection(pipe_file)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            loaded = _loaded(work_file)
            pipe.send(READY)
            while True:
                jobs = pipe.recv()
                if len(jobs) == 1:
                    _run(jobs[0], loaded, pipe)
                else:
                    _run_together(jobs, loaded, pipe)
        except MpsearchError as error:
            pipe.send(error)


def _loaded(work_file: int) -> LoadedWork:
    try:
        work = read_packed(work_file)
    except MpsearchError:
        raise
    except Exception as error:  # modules of the user's are imported here
        raise ConfigError(
            f"Trials run in other processes, and the task must load there; it raised {type(error).__name__}: "
            f"{error}. Let its modules be importable from {Path.cwd()}, or run trials in the process that "
            "searches: workers=0."
        ) from error
    finally:
        os.close(work_file)
    return work.load()


def _run(job: TrialJob, loaded: LoadedWork, pipe: Connection) -> None:
    def on_step(step: int, total: int, loss: float) -> None:
        pipe.send(StepReport(number=job.number, step=step, total=total, loss=loss))

    try:
        pipe.send(loaded.run(job, on_step))
    except SystemExit as error:  # of the user's code, which does not decide how long a worker lives
        pipe.send(Outcome(number=job.number, failure=f"SystemExit: {error}"))


def _run_together(jobs: Sequence[TrialJob], loaded: LoadedWork, pipe: Connection) -> None:
    left = {job.number for job in jobs}
    try:
        for outcome in loaded.run_together(jobs, pipe.send):
            pipe.send(outcome)
            left.remove(outcome.number)
    except SystemExit as error:
        for number in left:
            pipe.send(Outcome(number=number, failure=f"SystemExit: {error}"))


def _end_with(parent: int, pipe_file: int) -> None:
    """Die when the parent does: at once on Linux, and by the closed pipe everywhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(0)
    threading.Thread(target=_watch, args=(pipe_file,), daemon=True).start()


def _watch(pipe_file: int) -> None:
    hung_up = select.poll()
    hung_up.register(pipe_file, 0)
    hung_up.poll()
    os._exit(0)
