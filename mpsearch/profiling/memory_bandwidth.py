"""Bytes per second between memory and the cores."""

from __future__ import annotations

import torch

from mpsearch.profiling.timer import TimerSettings, time_call
from mpsearch.profiling.torch_threads import torch_threads

_SETTINGS = TimerSettings(rounds=9, least_rounds=5, budget_s=0.5, patience=1)


def memory_bandwidth(*, threads: int, largest_cache_bytes: int) -> float:
    """Bytes read plus bytes written per second while copying a buffer of four times the largest cache.

    Units: bytes per second. The buffer has 64 to 256 MiB.
    """
    size_bytes = min(max(4 * largest_cache_bytes, 64 << 20), 256 << 20)
    with torch_threads(threads):
        source = torch.ones(size_bytes, dtype=torch.uint8)
        target = torch.empty_like(source)
        timing = time_call(lambda: target.copy_(source), _SETTINGS)
    return float(f"{2 * size_bytes / timing.median_s:.4g}")
