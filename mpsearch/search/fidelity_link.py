"""What a score in full will be, from the score after a part of the steps: learnt for each bit regime."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SLOPE = (1.0, 0.5)  # prior mean and deviation: what leads before leads after
_GAIN_DEVIATION = 1.5  # prior of the intercept, around 0; on the scale of the latent scores
_RESIDUAL = (0.35, 3.0)  # prior deviation of the residual, and how many trials that is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Latent scores of one complete trial at a lower fidelity and in full."""

    lower: float
    full: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FidelityLink:
    """full = a + b lower + residual, for the trials of one regime at one lower fidelity.

    A conjugate Bayesian regression: (a, b) normal around (0, 1) given the variance of the residual, that
    inverse gamma. Short scores are biased against few bits: the intercept is what a regime gains from the
    rest of the steps, so each regime has its own.

    `mean` (2,) of a and b; `spread` (2, 2), their covariance in units of `variance`, the residual's.
    Source: Bishop 2006, Pattern Recognition and Machine Learning, section 3.3; the regression between
    fidelities: Kennedy and O'Hagan 2000, 10.1093/biomet/87.1.1.
    """

    mean: Floats
    spread: Floats
    variance: float
    trials: int
    correlation: float | None

    def expected(self, lower: float) -> tuple[float, float]:
        """Mean and variance of the latent score in full."""
        row = np.array([1.0, lower])
        return float(row @ self.mean), float(self.variance * (1 + row @ self.spread @ row))


def fidelity_link(pairs: Iterable[Pair]) -> FidelityLink:
    """The prior where there are no pairs. `correlation` is Pearson's of three trials or more that differ."""
    found = list(pairs)
    deviation, worth = _RESIDUAL
    prior_mean = np.array([0.0, _SLOPE[0]])
    precision = np.diag([(deviation / _GAIN_DEVIATION) ** 2, (deviation / _SLOPE[1]) ** 2])
    rows = np.array([[1.0, pair.lower] for pair in found]).reshape(len(found), 2)
    full = np.array([pair.full for pair in found])
    total = precision + rows.T @ rows
    mean = np.linalg.solve(total, precision @ prior_mean + rows.T @ full)
    apart = full - rows @ mean
    squares = float(apart @ apart + (mean - prior_mean) @ precision @ (mean - prior_mean))
    return FidelityLink(
        mean=mean,
        spread=np.linalg.inv(total),
        variance=(worth * deviation**2 + squares) / (worth + len(found)),
        trials=len(found),
        correlation=_correlation(rows[:, 1], full),
    )


def _correlation(lower: Floats, full: Floats) -> float | None:
    if len(full) < 3 or math.isclose(np.ptp(lower), 0) or math.isclose(np.ptp(full), 0):
        return None
    return float(np.corrcoef(lower, full)[0, 1])
