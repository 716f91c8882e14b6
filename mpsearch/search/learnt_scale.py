"""The learnt objective as a loss to be minimised, and the scale on which effects on it add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.score_scale import SCALES, ScoreScale, smoothed_error

Floats = NDArray[np.float64]

# Of the variance of drawing the samples, the least share that is left between policies that are scored on
# the same ones. Those that differ in a layer of many bits agree on all but a few samples: more would take
# such neighbours to be unsure for long, and a search tries them one after the other. More noise is learnt.
_LEAST_APART = 0.02
_LEAST_NOISE = 1e-3  # of a loss, as a share of itself: where no count of samples says how noisy it is

_LOG_ODDS = next(scale for scale in SCALES if scale.name == "log odds of the error")
_LOG = ScoreScale(
    name="log of the loss",
    of_error=lambda loss: np.log(np.maximum(loss, 1e-12)),
    inverse=lambda y: np.exp(np.clip(y, -700.0, 700.0)),
    slope=lambda loss: 1 / np.maximum(loss, 1e-12),
)
_PLAIN = ScoreScale(name="the score", of_error=lambda loss: loss, inverse=lambda y: y, slope=np.ones_like)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntScale:
    """From scores to losses: the error 1 - score of an accuracy, else the score or its negative.

    `is_share`: scores are shares of samples, which are drawn.
    """

    scale: ScoreScale
    is_maximized: bool
    is_share: bool

    def losses(self, scores: Floats) -> Floats:
        if self.is_share:
            return 1 - scores if self.is_maximized else scores
        return -scores if self.is_maximized else scores

    def latent(self, losses: Floats, samples: int) -> Floats:
        """On the scale, finite for a share of 0 and 1 too."""
        if self.is_share:
            losses = smoothed_error(1 - losses, samples)
        return self.scale.of_error(losses)

    def inverse(self, latent: Floats) -> Floats:
        return self.scale.inverse(latent)

    def clipped(self, losses: Floats, samples: int) -> Floats:
        """Shares no nearer to 0 and 1 than half a sample."""
        half = 0.5 / (samples + 1)
        return np.clip(losses, half, 1 - half) if self.is_share else losses

    def sampling_variance(self, losses: Floats, samples: int) -> Floats:
        """Of T(loss), from drawing the samples, as far as policies differ by it: r T'(e)^2 e (1 - e) / n."""
        losses = self.clipped(losses, samples)
        own = (
            losses * (1 - losses) * _LEAST_APART / samples if self.is_share else (_LEAST_NOISE * losses) ** 2
        )
        variance: Floats = self.scale.slope(losses) ** 2 * own + 1e-12
        return variance


def learnt_scale(scores: Floats, *, is_maximized: bool) -> LearntScale:
    """Log odds for shares (an accuracy), the logarithm for positive losses, else the score as it is."""
    if is_maximized and (scores >= 0).all() and (scores <= 1).all():
        return LearntScale(scale=_LOG_ODDS, is_maximized=True, is_share=True)
    if not is_maximized and (scores > 0).all():
        return LearntScale(scale=_LOG, is_maximized=False, is_share=False)
    return LearntScale(scale=_PLAIN, is_maximized=is_maximized, is_share=False)
