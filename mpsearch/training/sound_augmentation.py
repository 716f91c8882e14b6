"""Random changes to log-mel features that leave the word true, a whole batch at a time."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

LOUDEST = math.log(4.0)  # a factor on powers, up or down: 6 dB
NOISE = (1e-3, 1.0)  # least and most power of the noise in each band


def shift_gain_noise(log_powers: Tensor, generator: Generator, *, frames: int = 6) -> Tensor:
    """Shift each recording in time, change its loudness by up to 6 dB, and add noise.

    The shift is up to `frames` to either side; the first or last frame is repeated where none comes in. Noise
    has an exponentially distributed power in each band and frame, as white noise has, with a mean drawn for
    each recording, evenly in logarithms, from NOISE.

    Shape: natural logarithms of powers (N, 1, frames, bands) -> the same.
    Source: Zhang et al. 2017, arXiv:1711.07128, section 4.1 (time shift and noise).
    """
    count, _, length, bands = log_powers.shape
    shift = torch.randint(-frames, frames + 1, (count, 1), generator=generator)
    places = (torch.arange(length) + shift).clamp_(0, length - 1)
    moved = log_powers.gather(2, places[:, None, :, None].expand(-1, 1, -1, bands))
    gain = LOUDEST * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
    least, most = (math.log(power) for power in NOISE)
    level = least + (most - least) * torch.rand(count, 1, 1, 1, generator=generator)
    noise = torch.empty_like(moved).exponential_(generator=generator).log_() + level
    return torch.logaddexp(moved + gain, noise)
