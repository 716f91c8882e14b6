"""Seconds of a whole model, for comparison with what the layers predict."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.profiling.timer import DEFAULT_SETTINGS, TimerSettings, Timing, time_calls
from mpsearch.profiling.torch_threads import torch_threads

__all__ = ["Timing", "time_model", "time_models"]


def time_model(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    threads: int,
    settings: TimerSettings = DEFAULT_SETTINGS,
) -> Timing:
    """One forward pass under inference_mode, in the mode that the model is in.

    Raises: ConfigError if `threads` is below 1.
    """
    return time_models([model], inputs, threads, settings)[0]


def time_models(
    models: list[nn.Module],
    inputs: tuple[Tensor, ...],
    threads: int,
    settings: TimerSettings = DEFAULT_SETTINGS,
) -> list[Timing]:
    """Several models on the same inputs, in turns, so that their ratios can be trusted."""
    with torch_threads(threads), torch.inference_mode():
        return time_calls([lambda model=model: model(*inputs) for model in models], settings)  # type: ignore[misc]
