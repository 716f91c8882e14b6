"""Which processors this process may use, and how many of them a model is worth."""

from __future__ import annotations

import os

MACS_PER_THREAD = 1_000_000_000  # of one forward pass over a batch


def usable_cpus() -> list[int]:
    """The processors that this process may run on."""
    return (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )


def worthwhile_threads(macs: int, batch_size: int) -> int:
    """How many threads a model is trained on; it follows from the model alone, so that scores do not vary.

    A second thread on the digits network gains 15% on an idle machine, and where another program takes one of
    two cores the threads wait for each other in every small operation: 54 s instead of 2 s a trial.
    """
    return max(1, macs * batch_size // MACS_PER_THREAD)
