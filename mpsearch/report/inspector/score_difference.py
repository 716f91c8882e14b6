"""How sure it is that one of two policies scores better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpsearch.search.uncertainty import score_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """`change` = the second score less the first, with its 95% interval; NaN where that is unknown.

    Newcombe's hybrid of two Wilson intervals (l, u) around p:
        low  = change - sqrt((p2 - l2)² + (u1 - p1)²)
        high = change + sqrt((u2 - p2)² + (p1 - l1)²)
    It takes the two as scored on different samples. Both were scored on the same ones, where the true
    interval is narrower as a rule; by how much, the run does not know, since it keeps scores, not answers.

    Source: Newcombe 1998, Statist. Med. 17, method 10.
    """

    change: float
    low: float
    high: float
    samples: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def score_difference(first: float, second: float, samples: int) -> ScoreDifference:
    """Of two scores on `samples` samples. Scores outside of 0..1, or NaN, have no interval."""
    change = second - first
    if not (0 <= first <= 1 and 0 <= second <= 1):
        return ScoreDifference(change=change, low=math.nan, high=math.nan, samples=samples)
    low1, high1 = score_interval(first, samples)
    low2, high2 = score_interval(second, samples)
    return ScoreDifference(
        change=change,
        low=change - math.hypot(second - low2, high1 - first),
        high=change + math.hypot(high2 - second, first - low1),
        samples=samples,
    )
