from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpsearch.kernels.native import NativeLayer
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.precision.scheme import SCHEMES


def build_layer(
    scheme: str,
    *,
    columns: int,
    channels: int,
    kernel: tuple[int, int] = (1, 1),
    groups: int = 1,
    zero_point: int = 0,
    has_bias: bool = True,
    weight: int | None = None,
    seed: int = 0,
    **geometry: Any,
) -> QuantizedLayer:
    """A layer of random weights, or all equal to `weight`."""
    rng = np.random.default_rng(seed)
    low, high = WEIGHT_RANGES[scheme]
    shape = (columns, channels // groups, *kernel)
    values = rng.integers(low, high + 1, shape) if weight is None else np.full(shape, weight)
    if SCHEMES[scheme].weight_bits == 1:
        values[values == 0] = 1
    if SCHEMES[scheme].activation_bits == 1:
        threshold = rng.normal(size=channels, scale=0.3).astype(np.float32)
        activation = ActivationFormat(bits=1, scale=np.float32(0.7), threshold=threshold)
    else:
        activation = ActivationFormat(bits=8, scale=np.float32(0.02), zero_point=zero_point)
    return QuantizedLayer(
        operator="conv2d",
        scheme=SCHEMES[scheme],
        weight=values.astype(np.int8),
        weight_scale=rng.random(columns, dtype=np.float32),
        bias=rng.normal(size=columns).astype(np.float32) if has_bias else None,
        activation=activation,
        groups=groups,
        **geometry,
    )


@pytest.fixture(scope="session")
def make_layer() -> Callable[..., QuantizedLayer]:
    return build_layer


@pytest.fixture(scope="session")
def native_on() -> Callable[..., NativeLayer]:
    """native_on(isa, layer): the layer on that instruction set, proved to be the one that runs."""

    def build(isa: str, layer: QuantizedLayer, *, threads: int = 1) -> NativeLayer:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MPSEARCH_FORCE_ISA", isa)
            native = NativeLayer(layer, threads=threads)
        assert native.isa == isa
        return native

    return build
