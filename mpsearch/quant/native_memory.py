"""How the extension sees the memory of a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from mpsearch.kernels.quantized_layer import MAX_THREADS

NATIVE_TYPES = (torch.float32, torch.bfloat16)


def native_order(x: Tensor, other: torch.dtype) -> torch.memory_format | None:
    """The order in which x fills its memory without a gap; None if the native kernels cannot take it.

    `other` is the type of what is read or written beside x.
    """
    if x.device.type != "cpu" or x.dtype not in NATIVE_TYPES or other not in NATIVE_TYPES:
        return None
    if x.is_contiguous():
        return torch.contiguous_format
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return None


def memory_place(x: Tensor) -> tuple[int, bool]:
    """Address, and whether the numbers have 16 bits."""
    return x.data_ptr(), x.dtype == torch.bfloat16


def native_threads() -> int:
    return min(torch.get_num_threads(), MAX_THREADS)
