"""The compiled extension, and the one environment variable that it heeds.

Environment: MPSEARCH_FORCE_ISA=scalar|avx2|avx512 (x86) or scalar|neon|neon_dotprod (64-bit Arm) makes every
layer and program built from then on use that instruction set; unset or empty, the best one of the machine.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import numpy as np

from mpsearch.errors import KernelError
from mpsearch.kernels.quantized_layer import MAX_THREADS, SCALES, QuantizedLayer


@functools.cache
def load_extension() -> Any:
    """The module `_native`.

    Raises: KernelError if it is missing.
    """
    try:
        return importlib.import_module("mpsearch.kernels._native")
    except ImportError as error:
        raise KernelError(
            f"The compiled kernels cannot be loaded ({error}). "
            "Reinstall with `pip install .` in the source folder; it needs a C++17 compiler."
        ) from error


def forced_isa() -> str:
    """The implementation that the environment asks for; empty for the best."""
    return os.environ.get("MPSEARCH_FORCE_ISA", "")


def check_threads(threads: int) -> None:
    """Raises: KernelError if there cannot be so many threads."""
    if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise KernelError(f"`threads` must be in 1..{MAX_THREADS}; got {threads!r}.")


def pack_layer(layer: QuantizedLayer, *, threads: int) -> Any:
    """The layer as the extension's own object, its weights in the layout of the kernels.

    Raises: KernelError if it exceeds the kernels' bounds or the forced implementation is unavailable.
    """
    check_threads(threads)
    activation = layer.activation
    vertical, horizontal = zip(layer.stride, layer.padding, layer.dilation, strict=True)
    return load_extension().Layer(
        scheme=layer.scheme.name,
        weight=np.ascontiguousarray(layer.weight),
        scale=layer.scale,
        bias=None if layer.bias is None else np.ascontiguousarray(layer.bias),
        threshold=None if activation.threshold is None else np.ascontiguousarray(activation.threshold),
        inverse_scale=float(activation.inverse_scale),
        zero_point=activation.zero_point,
        negative_scale=layer.negative_factor,
        input_scale=SCALES.index(activation.scale_of),
        has_ternary_inputs=activation.ternary,
        vertical=vertical,
        horizontal=horizontal,
        groups=layer.groups,
        threads=threads,
        forced_isa=forced_isa(),
    )
