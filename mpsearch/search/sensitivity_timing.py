"""Timing how a search finds out its sensitivities, by beginning to: the rest is arithmetic."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from mpsearch.search.estimate import NO_TIME, Span
from mpsearch.search.sensitivity import SENSITIVITIES
from mpsearch.training.sensitivity.probe import SensitivityProbe

BUDGET_S = 2.0
LEAST = 3  # steps of the method that are timed however long they take; the first is left out


def sensitivity_span(method: str, probes: Iterable[SensitivityProbe]) -> Span:
    """How long the method takes, for one probe after the other.

    A step is what it tells its progress of: a policy, a batch of samples, a training step. What follows the
    last of these is left out: of `supernet` it is a score of each lowered policy, little beside its steps.

    Raises: TrialError or ConfigError as the method; TaskError if the task's own code fails.
    """
    return sum((_span(method, probe) for probe in probes), NO_TIME)


def _span(method: str, probe: SensitivityProbe) -> Span:
    started = time.perf_counter()
    ends: dict[int, float] = {}  # how much is done -> since when, in seconds from the start
    total = 0

    def stop_early(done: int, of: int, _what: str) -> None:
        nonlocal total
        total = of
        ends[done] = time.perf_counter() - started
        if ends[done] > BUDGET_S and len(ends) > LEAST and done < of:
            raise _Enough

    try:
        SENSITIVITIES[method].measure(probe, stop_early)
    except _Enough:
        pass
    else:
        return Span.exactly(time.perf_counter() - started)
    done, seconds = np.array(list(ends)), np.array(list(ends.values()))
    a_step = np.diff(seconds)[1:] / np.diff(done)[1:]
    low, middle, high = np.quantile(a_step, [0.25, 0.5, 0.75]).tolist()
    left = total - int(done[-1])
    rest = Span(least_s=low, likely_s=middle, most_s=high).times(left)
    return Span.exactly(float(seconds[-1])) + rest


class _Enough(Exception):  # noqa: N818 - no error: the way out of a method
    """Steps enough were timed."""
