"""Scales on which effects of layers may add up: accuracy itself, or a function of the error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# All policies are scored on the same samples and mostly agree on them: of the variance of drawing the
# samples, at least this share remains between two policies.
PAIRED = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreScale:
    """A rising function of the error e in (0, 1), its inverse, and its derivative.

    `inverse` takes any number and returns an error in 0..1.
    """

    name: str
    of_error: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


def _log_odds_scale() -> ScoreScale:
    return ScoreScale(
        name="log odds of the error",
        of_error=lambda e: np.log(e / (1 - e)),
        inverse=lambda y: 1 / (1 + np.exp(-np.clip(y, -700.0, 700.0))),
        slope=lambda e: 1 / (e * (1 - e)),
    )


def _odds_scale(power: float, name: str) -> ScoreScale:
    """(e / (1 - e))^power: the further a network has broken down, the less each further layer shows."""

    def inverse(y: Floats) -> Floats:
        odds = np.clip(y, 0.0, 1e6) ** (1 / power)
        error: Floats = odds / (1 + odds)
        return error

    return ScoreScale(
        name=name,
        of_error=lambda e: (e / (1 - e)) ** power,
        inverse=inverse,
        slope=lambda e: power * (e / (1 - e)) ** (power - 1) / (1 - e) ** 2,
    )


SCALES: tuple[ScoreScale, ...] = (
    ScoreScale(
        name="accuracy",
        of_error=lambda e: e,
        inverse=lambda y: np.clip(y, 0.0, 1.0),
        slope=np.ones_like,
    ),
    ScoreScale(
        name="root of the error",
        of_error=np.sqrt,
        inverse=lambda y: np.clip(y, 0.0, 1.0) ** 2,
        slope=lambda e: 0.5 / np.sqrt(e),
    ),
    ScoreScale(
        name="log of the error",
        of_error=np.log,
        inverse=lambda y: np.exp(np.minimum(y, 0.0)),
        slope=lambda e: 1 / e,
    ),
    _log_odds_scale(),
    _odds_scale(0.25, "fourth root of the odds of an error"),
    _odds_scale(0.5, "root of the odds of an error"),
)


def smoothed_error(scores: Floats, samples: int) -> Floats:
    """(errors + 1/2) / (samples + 1): never 0 or 1, so that every scale is finite at accuracy 1."""
    smoothed: Floats = ((1 - scores) * samples + 0.5) / (samples + 1)
    return smoothed
