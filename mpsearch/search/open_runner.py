"""Which runner a placement asks for."""

from __future__ import annotations

from collections.abc import Callable

from mpsearch.search.local_runner import InProcessRunner, ProcessPoolRunner
from mpsearch.search.placement import Placement
from mpsearch.search.runner import Runner
from mpsearch.search.trial_job import StepReport, Work


def open_runner(work: Work, placement: Placement, on_step: Callable[[StepReport], None]) -> Runner:
    """A runner with its workers started; use it as a context manager.

    `on_step` is called by a runner that works in this process; the others report from `wait`.

    Raises: ConfigError if the work cannot be sent to other processes; RunError if workers cannot be started.
    """
    if placement.ray is not None:
        from mpsearch.search.ray_runner import RayRunner  # noqa: PLC0415 - Ray only where it is asked for

        return RayRunner(work, placement)
    if placement.workers == 0:
        return InProcessRunner(work.load(), work.threads, on_step, batch=placement.batch)
    return ProcessPoolRunner(work, placement.workers or 1, batch=placement.batch)


def require_place(placement: Placement) -> None:
    """Raises: RunError if `placement` names a Ray cluster that is not there or too small."""
    if placement.ray is not None:
        from mpsearch.search import ray_cluster  # noqa: PLC0415 - Ray only where it is asked for

        ray_cluster.require_place(placement)
