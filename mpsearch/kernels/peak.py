"""What this machine can reach at best: the yardstick of benchmarks/kernels.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import KernelError
from mpsearch.kernels.extension import load_extension

# The instruction sequence that a scheme's product is made of, by implementation.
_SEQUENCES: dict[str, dict[str, str]] = {
    "avx512": {
        "w1a1": "vpopcntd",
        "w1a8": "vpdpbusd",
        "w1.58a8": "vpdpbusd",
        "w4a8": "vpdpbusd",
        "w8a8": "vpdpbusd",
    },
    "avx2": {
        "w1a1": "vpshufb",
        "w1a8": "vpmaddubsw",
        "w1.58a8": "vpmaddubsw",
        "w4a8": "vpmaddubsw",
        "w8a8": "vpmaddwd",
    },
}


def peak_sequences(isa: str) -> tuple[str, ...]:
    """Names of the instruction sequences that can be timed for an implementation; empty if none is known."""
    return tuple(load_extension().peak_sequences(isa))


def sequence_of(isa: str, scheme_name: str) -> str | None:
    """The sequence that bounds a scheme's product, None where none is known (scalar, Arm)."""
    return _SEQUENCES.get(isa, {}).get(scheme_name)


def peak_macs_per_s(isa: str, sequence: str) -> float:
    """Multiply-accumulates per second of one thread, operands in registers: one sample of 20 to 100 us.

    Raises: KernelError if the sequence is unknown or cannot run here.
    """
    return float(load_extension().peak_macs_per_s(isa, sequence))


def read_bytes_per_s(data: NDArray[np.uint8]) -> float:
    """Bytes per second at which one thread reads `data` in order, from whatever cache holds it: one sample.

    Shape: data (count,), at least 576.
    Raises: KernelError if it is shorter.
    """
    if data.size < 576:
        raise KernelError(f"A read is timed over at least 576 bytes; got {data.size}.")
    return float(load_extension().read_bytes_per_s(data))
