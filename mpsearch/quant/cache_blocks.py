"""Large tensors in blocks that stay in a core's cache from one elementwise pass to the next."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

# Two float32 tensors of so many elements fit the second-level caches of two cores.
BLOCK_ELEMENTS = 2**18


def cache_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same samples of each tensor, a block at a time; everything at once on a GPU.

    A pass over a tensor that is not in a cache costs about as much as the convolution's own passes, and
    quantizing takes four of them: done block by block, three read what the first left in the cache.

    Shape: each (N, *), of one shape.
    """
    first = tensors[0]
    whole = first.ndim < 2 or first.numel() <= BLOCK_ELEMENTS or first.device.type != "cpu"
    if whole:
        yield tensors
        return
    samples = max(1, BLOCK_ELEMENTS // first[0].numel())
    yield from zip(*(tensor.split(samples) for tensor in tensors), strict=True)
