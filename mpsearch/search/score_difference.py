"""How sure it is that two policies score differently, and the spread of the score that all compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpsearch.search.uncertainty import score_interval

if TYPE_CHECKING:
    from mpsearch.search.run import Run
    from mpsearch.search.run_facts import BaselineScore
    from mpsearch.search.trial_record import TrialRecord

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """`change` = the second score less the first, with its 95% interval; NaN where that is unknown.

    `samples` is how many both scores are the mean of; `of_seeds`: whether the interval also covers the seeds
    of the trainings.
    """

    change: float
    low: float
    high: float
    samples: int
    of_seeds: bool = False

    @property
    def interval(self) -> Interval:
        return self.low, self.high

    @property
    def is_known(self) -> bool:
        """Whether there is an interval: both trials have a score, and the metric stays in 0..1."""
        return not math.isnan(self.low)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out; False where nothing is known."""
        return self.low > 0 or self.high < 0


def score_difference(first: float, second: float, samples: int) -> ScoreDifference:
    """`difference_interval` of two scores on `samples` samples each; none for scores outside of 0..1."""
    low = high = math.nan
    if 0 <= first <= 1 and 0 <= second <= 1:
        intervals = (score_interval(score, samples) for score in (first, second))
        low, high = difference_interval(first, next(intervals), second, next(intervals))
    return ScoreDifference(change=second - first, low=low, high=high, samples=samples)


def trial_difference(
    run: Run, first: TrialRecord, second: TrialRecord, *, other: Run | None = None
) -> ScoreDifference:
    """`difference_interval` of two trials' scores from `Run.interval`: seeds count where they are known to.

    `other`: the run of the second, if that is another one with the same validation samples.
    """
    return _run_difference(run, first.accuracy, run.interval(first), second, other or run)


def baseline_difference(run: Run, record: TrialRecord) -> ScoreDifference:
    """As `trial_difference`, from the 32-bit model of the run, which is one model whatever the seed."""
    return _run_difference(run, run.baseline.score, baseline_interval(run), record, run)


def _run_difference(
    run: Run, first: float, first_in: Interval, second: TrialRecord, other: Run
) -> ScoreDifference:
    low, high = difference_interval(first, first_in, second.accuracy, other.interval(second))
    return ScoreDifference(
        change=second.accuracy - first,
        low=low,
        high=high,
        samples=run.validation_samples,
        of_seeds=run.seed_spread is not None or other.seed_spread is not None,
    )


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


def baseline_interval(run: Run, baseline: BaselineScore | None = None) -> Interval:
    """As `Run.interval`, for a 32-bit model; by default that of the run."""
    score = (baseline or run.baseline).score
    return score_interval(score, run.validation_samples) if 0 <= score <= 1 else (math.nan, math.nan)
