"""The width multiplier of a network."""

from __future__ import annotations

import math

from mpsearch.errors import ConfigError

CHANNEL_STEP = 8  # the kernels' vectors hold eight floats or more


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest multiple of 8, and no less than 8 (at width 1: `channels`).

    Raises: ConfigError if `width` is no number above 0.
    Source: Howard et al. 2017, arXiv:1704.04861, section 3.3 (the multiplier), Sandler et al. 2018,
    arXiv:1801.04381 (multiples of 8).
    """
    is_number = isinstance(width, int | float) and not isinstance(width, bool)
    if not is_number or not 0 < width <= 64 or math.isnan(width):
        raise ConfigError(f"`width` must be a number above 0 and at most 64; got {width!r}.")
    if width == 1:
        return channels
    return max(CHANNEL_STEP, CHANNEL_STEP * round(channels * width / CHANNEL_STEP))
