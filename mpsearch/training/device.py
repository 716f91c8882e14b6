"""Where a trial is trained: the processor, or a GPU that torch sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mpsearch.errors import ConfigError


def trial_device(name: str) -> torch.device:
    """The device of that name.

    Raises: ConfigError if torch sees no GPU and one is asked for.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"`device: cuda` needs a GPU that torch sees; torch {torch.__version__} sees none here. Write "
            "`device: cpu`, or install a build of torch for your GPU."
        )
    return torch.device(name)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters lie; the processor if it has none."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draws inside (dropout, stochastic rounding) follow from `seed`; those outside are as without it.

    On a GPU, convolutions take algorithms that give the same bits each time, and products of 32 bits.
    """
    gpus = [torch.cuda.current_device()] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=gpus),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        torch.manual_seed(seed)
        yield
