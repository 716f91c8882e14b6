"""How sure it is that two policies score differently, and the spread of the score that all compare with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mpsearch.search.uncertainty import score_interval

if TYPE_CHECKING:
    from mpsearch.search.run import Run

Interval = tuple[float, float]


def difference_interval(first: float, first_in: Interval, second: float, second_in: Interval) -> Interval:
    """Newcombe's 95% interval of `second` - `first`, from their own 95% intervals.

    d - sqrt((s - s_low)² + (f_high - f)²) to d + sqrt((s_high - s)² + (f - f_low)²), d = s - f

    For scores on independent samples. Two policies scored on the same ones differ by less noise: the interval
    is too wide then, and what lies outside of it all the more certain. NaN where a score is unknown.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method
        10, Statistics in Medicine 17.
    """
    change = second - first
    below = math.hypot(second - second_in[0], first_in[1] - first)
    above = math.hypot(second_in[1] - second, first - first_in[0])
    return change - below, change + above


def is_within_noise(interval: Interval) -> bool:
    """Whether no difference at all is in the interval; True too where nothing is known."""
    return not (interval[0] > 0 or interval[1] < 0)


def baseline_interval(run: Run) -> Interval:
    """As `Run.interval`, for the 32-bit model."""
    score = run.baseline.score
    return score_interval(score, run.validation_samples) if 0 <= score <= 1 else (math.nan, math.nan)
