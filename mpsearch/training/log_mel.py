"""Log-mel features: the energy of a sound by time and pitch, as keyword spotting networks take it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mpsearch.errors import ConfigError

FLOOR = 1e-4  # added to every power, so that silence has a logarithm
AT_ONCE = 64  # recordings a pass: their spectra stay in the cache


def log_mel(
    waves: Tensor, *, sample_rate: int, frame: int, hop: int, bands: int, lowest: float = 60.0
) -> Tensor:
    """ln(power in each mel band + 1e-4) of frames under a Hann window, from their Fourier transforms.

    `frame` and `hop` are samples, `lowest` Hz; the bands reach up to half of `sample_rate`.

    Shape: waves (N, samples) in [-1, 1] -> (N, frames, bands), frames = (samples - frame) // hop + 1.
    """
    filters = mel_filters(bands, bins=frame // 2 + 1, sample_rate=sample_rate, lowest=lowest)
    window = torch.hann_window(frame)
    parts = []
    for some in waves.split(AT_ONCE):
        spectrum = torch.stft(some, frame, hop, window=window, center=False, return_complex=True)
        power = spectrum.abs().square().transpose(1, 2)
        parts.append(torch.log(power @ filters + FLOOR))
    return torch.cat(parts)


def mel_filters(bands: int, *, bins: int, sample_rate: int, lowest: float) -> Tensor:
    """Triangles, evenly spaced on the mel scale m = 2595 log10(1 + f / 700), f in Hz.

    Shape: (bins, bands); bin k is the frequency k * sample_rate / 2 / (bins - 1).
    Raises: ConfigError if a band holds no bin: there are too many bands.
    Source: O'Shaughnessy 1987, "Speech Communication", p. 150 (the mel scale).
    """
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (lowest, sample_rate / 2))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    before, centre, after = edges[:-2], edges[1:-1], edges[2:]
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)[:, None]
    rising = (frequency - before) / (centre - before)
    falling = (after - frequency) / (after - centre)
    filters = torch.minimum(rising, falling).clamp_min(0)
    if not bool((filters.sum(0) > 0).all()):
        raise ConfigError(
            f"`bands` must be so few that each holds a frequency of the transform ({bins} up to "
            f"{sample_rate / 2:g} Hz); got {bands}."
        )
    return filters.float()
