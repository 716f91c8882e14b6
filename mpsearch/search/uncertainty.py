"""How far a score may be off because it was taken on so many samples and no more."""

from __future__ import annotations

import math

from mpsearch.errors import ConfigError

_Z = 1.959963984540054  # the normal quantile of 0.975


def score_interval(score: float, samples: float) -> tuple[float, float]:
    """Wilson's 95% interval of a share that was found to be `score` on `samples` independent samples.

    (score + z²/2n ± z sqrt(score (1 - score) / n + z²/4n²)) / (1 + z²/n), z = 1.96

    For a metric that is a mean of values between 0 and 1 it is no narrower than for an accuracy, since
    the variance of such values is at most score (1 - score). It covers the choice of samples alone, not
    the seed of the training. Two policies scored on the same samples differ by less noise than two
    intervals suggest.

    Raises: ConfigError if `samples` is not above 0 or `score` lies outside of 0..1.
    Source: Wilson 1927, J. Am. Stat. Assoc. 22.
    """
    if not samples > 0 or not 0 <= score <= 1:
        raise ConfigError(
            f"An interval needs a score in 0..1 on at least one sample; got {score} on {samples}."
        )
    shrink = 1 + _Z**2 / samples
    centre = (score + _Z**2 / (2 * samples)) / shrink
    half = _Z * math.sqrt(score * (1 - score) / samples + _Z**2 / (4 * samples**2)) / shrink
    # The bounds hold by algebra; rounding must not put a perfect score outside of its own interval.
    return max(0.0, min(centre - half, score)), min(1.0, max(centre + half, score))
