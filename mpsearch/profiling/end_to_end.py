"""Seconds of a whole model, for comparison with what the layers predict."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mpsearch.profiling.timer import PassSettings, Timing, time_singly
from mpsearch.profiling.torch_threads import torch_threads

_SETTINGS = PassSettings(turns=40)


def time_models(
    models: list[nn.Module],
    inputs: tuple[Tensor, ...],
    threads: int,
    settings: PassSettings = _SETTINGS,
) -> list[Timing]:
    """Forward passes of several models on the same inputs, in turns, so that their ratios can be trusted.

    Each runs under inference_mode, in the mode that it is in; each sample is one pass.

    Raises: ConfigError if `threads` is below 1.
    """
    with torch_threads(threads), torch.inference_mode():
        return time_singly([lambda model=model: model(*inputs) for model in models], settings)  # type: ignore[misc]
