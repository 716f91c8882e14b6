"""Timing short calls honestly: warm-up, interleaved rounds, medians, quartiles, and a check for noise."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of one call: median, quartiles and percentiles over `repetitions` samples.

    `time_calls` takes samples of several short calls each, which evens their percentiles out; `time_singly`
    samples of one call.
    """

    median_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    repetitions: int
    is_noisy: bool = False

    @property
    def spread(self) -> float:
        """Interquartile range over median."""
        return (self.quartiles_s[1] - self.quartiles_s[0]) / self.median_s if self.median_s else 0.0

    @classmethod
    def of(cls, samples: Sequence[float] | NDArray[np.float64], *, is_noisy: bool = False) -> Timing:
        """A summary of samples of seconds."""
        low, median, high, p95, p99 = np.quantile(samples, [0.25, 0.5, 0.75, 0.95, 0.99])
        return cls(
            median_s=_rounded(median),
            quartiles_s=(_rounded(low), _rounded(high)),
            p95_s=_rounded(p95),
            p99_s=_rounded(p99),
            repetitions=np.size(samples),
            is_noisy=is_noisy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSettings:
    """How long to time.

    A sample repeats a call until it lasts `sample_s`: the clock takes tens of nanoseconds, so it stays far
    below 1%. `rounds` samples are taken of each call, fewer if that would exceed `budget_s`, but at least
    `least_rounds`. Where the interquartile range exceeds `noise_limit` of the median, rounds are repeated,
    up to `patience` times; then the timing is marked as noisy.
    """

    sample_s: float = 3e-4
    rounds: int = 41
    least_rounds: int = 7
    warm_up_s: float = 3e-3
    budget_s: float = 0.3
    noise_limit: float = 0.15
    patience: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """How long to time passes of whole models.

    A turn is `warm_up` passes, more if they last less than `warm_up_s`, then `passes` timed ones, more (up to
    `most_passes`) if those last less than `turn_s`; each model gets `turns` of them, in turn with the
    others of its batch of `models`. Where the interquartile range of its passes, or of a reference kernel's
    calls, exceeds `noise_limit` of the median, all is repeated, up to `patience` times. Each step is timed in
    `contexts` places, of one plan or of several.
    """

    turns: int = 10
    passes: int = 12
    most_passes: int = 100
    turn_s: float = 4e-3
    warm_up: int = 2
    warm_up_s: float = 2e-3
    models: int = 12
    contexts: int = 3
    noise_limit: float = 0.15
    patience: int = 2


DEFAULT_SETTINGS = TimerSettings()
PASS_SETTINGS = PassSettings()
SAMPLES_PER_TURN = 4


def time_calls(calls: Sequence[Call], settings: TimerSettings = DEFAULT_SETTINGS) -> list[Timing]:
    """Time the calls in turns, so that a disturbance or a change of clock speed hits all of them alike.

    A turn is an untimed call, which brings back what the others pushed out of the caches, and then a few
    samples. The cost of calling an empty function is subtracted. Garbage collection is off meanwhile.
    """
    with without_garbage_collection():
        overhead_s = _empty_call_s(settings)
        loops = [_calibrate(call, settings) for call in calls]
        samples: list[list[float]] = [[] for _ in calls]
        rounds = [_rounds(count * per_call, settings) for count, per_call in loops]
        waiting = list(range(len(calls)))
        for _attempt in range(1 + settings.patience):
            for first in range(0, max((rounds[i] for i in waiting), default=0), SAMPLES_PER_TURN):
                for i in waiting:
                    if first < rounds[i]:
                        calls[i]()
                    for _ in range(first, min(first + SAMPLES_PER_TURN, rounds[i])):
                        samples[i].append(max(_sample_s(calls[i], loops[i][0]) - overhead_s, 0.0))
            waiting = [i for i in waiting if Timing.of(samples[i]).spread > settings.noise_limit]
            if not waiting:
                break
    return [Timing.of(samples[i], is_noisy=i in waiting) for i in range(len(calls))]


def time_call(call: Call, settings: TimerSettings = DEFAULT_SETTINGS) -> Timing:
    return time_calls([call], settings)[0]


def time_singly(calls: Sequence[Call], settings: PassSettings) -> list[Timing]:
    """Time single calls, in turns: what a user waits for, late calls included.

    A turn is a few untimed calls and then timed ones. Turns are repeated as `time_calls` repeats rounds.
    """
    samples: list[list[float]] = [[] for _ in calls]
    waiting = list(range(len(calls)))
    with without_garbage_collection():
        turns = [turn_of(call, settings) for call in calls]
        for _attempt in range(1 + settings.patience):
            for _turn in range(settings.turns):
                for i in waiting:
                    samples[i] += single_calls(calls[i], turns[i])
            waiting = [i for i in waiting if Timing.of(samples[i]).spread > settings.noise_limit]
            if not waiting:
                break
    return [Timing.of(samples[i], is_noisy=i in waiting) for i in range(len(calls))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Numbers of calls: untimed, then timed."""

    warm_up: int
    passes: int


def turn_of(call: Call, settings: PassSettings) -> Turn:
    """As many calls as `settings` ask for, given how long one takes; calls it a few times."""
    one_s = max(min(single_calls(call, Turn(warm_up=1, passes=3))), 1e-9)
    most = max(settings.most_passes, settings.passes)
    return Turn(
        warm_up=max(settings.warm_up, min(most, math.ceil(settings.warm_up_s / one_s))),
        passes=max(settings.passes, min(most, math.ceil(settings.turn_s / one_s))),
    )


def single_calls(call: Call, turn: Turn) -> list[float]:
    """Seconds of each timed call of one turn."""
    for _ in range(turn.warm_up):
        call()
    samples = []
    for _ in range(turn.passes):
        start = time.perf_counter_ns()
        call()
        samples.append((time.perf_counter_ns() - start) * 1e-9)
    return samples


def _calibrate(call: Call, settings: TimerSettings) -> tuple[int, float]:
    """Calls per sample, and seconds per call; runs the call until it is warm."""
    call()
    count, started = 1, time.perf_counter()
    while True:
        per_call_s = _sample_s(call, count)
        is_warm = time.perf_counter() - started >= settings.warm_up_s
        if count * per_call_s >= settings.sample_s:
            if is_warm:
                return count, per_call_s
        else:
            count = max(count + 1, min(2 * count, round(1.2 * settings.sample_s / max(per_call_s, 1e-9))))


def _rounds(sample_s: float, settings: TimerSettings) -> int:
    affordable = int(settings.budget_s / max(sample_s, 1e-9))
    return max(settings.least_rounds, min(settings.rounds, affordable))


def _sample_s(call: Call, count: int) -> float:
    repeat = range(count)
    start = time.perf_counter_ns()
    for _ in repeat:
        call()
    return (time.perf_counter_ns() - start) * 1e-9 / count


def _empty_call_s(settings: TimerSettings) -> float:
    def empty() -> None:
        return None

    count = max(1, int(settings.sample_s / 1e-7))
    return min(_sample_s(empty, count) for _ in range(5))


def _rounded(seconds: float) -> float:
    """Four digits: more would only make profiles harder to compare."""
    return float(f"{seconds:.4g}")


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
