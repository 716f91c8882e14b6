"""How many threads PyTorch uses while something is timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mpsearch.errors import ConfigError


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch on that many threads inside, and on as many as before afterwards.

    Raises: ConfigError if `threads` is below 1.
    """
    if threads < 1:
        raise ConfigError(f"`threads` must be at least 1; got {threads}.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
