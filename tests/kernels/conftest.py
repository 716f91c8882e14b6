from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpsearch.kernels.native import NativeLayer
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES, ActivationFormat, QuantizedLayer
from mpsearch.precision.scheme import SCHEMES

# name: input (N, H, W), then the layer. Every implementation runs them all.
LAYER_CASES: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "linear": ((5, 1, 1), {"channels": 96, "columns": 48}),
    "linear of one row": ((1, 1, 1), {"channels": 257, "columns": 100}),
    "linear of 2 rows": ((2, 1, 1), {"channels": 64, "columns": 129}),
    "linear of 8 rows": ((8, 1, 1), {"channels": 40, "columns": 31}),
    "linear of one channel to one": ((3, 1, 1), {"channels": 1, "columns": 1}),
    "linear of 1 KiB rows": ((9, 1, 1), {"channels": 1024, "columns": 16}),
    "linear of 8 Kibit rows": ((4, 1, 1), {"channels": 8192, "columns": 17}),
    "without bias": ((7, 1, 1), {"channels": 33, "columns": 17, "has_bias": False}),
    "conv1d": ((2, 1, 37), {"channels": 20, "columns": 30, "kernel": (1, 5), "padding": (0, 2)}),
    "conv1d dilated": (
        (1, 1, 40),
        {"channels": 8, "columns": 5, "kernel": (1, 3), "padding": (0, 4), "dilation": (1, 4)},
    ),
    "1x1": ((2, 5, 7), {"channels": 24, "columns": 40}),
    "1x1 strided and padded": (
        (1, 6, 5),
        {"channels": 35, "columns": 18, "stride": (2, 2), "padding": (1, 1)},
    ),
    "3x3": ((1, 9, 11), {"channels": 16, "columns": 16, "kernel": (3, 3), "padding": (1, 1)}),
    "3x3 of 3 channels": ((2, 8, 8), {"channels": 3, "columns": 19, "kernel": (3, 3), "padding": (1, 1)}),
    "3x3 without padding": ((1, 7, 6), {"channels": 37, "columns": 65, "kernel": (3, 3)}),
    "3x3 strided": (
        (1, 9, 9),
        {"channels": 16, "columns": 32, "kernel": (3, 3), "padding": (1, 1), "stride": (2, 2)},
    ),
    "3x5 uneven everything": (
        (2, 9, 12),
        {
            "channels": 5,
            "columns": 70,
            "kernel": (3, 5),
            "padding": (2, 3),
            "stride": (2, 1),
            "dilation": (2, 1),
        },
    ),
    "3x3 dilated": (
        (1, 8, 8),
        {"channels": 40, "columns": 16, "kernel": (3, 3), "padding": (2, 2), "dilation": (2, 2)},
    ),
    "5x5": ((1, 6, 6), {"channels": 33, "columns": 9, "kernel": (5, 5), "padding": (2, 2)}),
    "7x7 stem": (
        (2, 23, 21),
        {"channels": 3, "columns": 67, "kernel": (7, 7), "padding": (3, 3), "stride": (2, 2)},
    ),
    "5x5 of 13 channels": (
        (2, 6, 9),
        {"channels": 13, "columns": 33, "kernel": (5, 5), "padding": (2, 2), "stride": (1, 2)},
    ),
    "4x4 of 31 channels": ((1, 7, 9), {"channels": 31, "columns": 32, "kernel": (4, 4), "padding": (1, 2)}),
    "7x7 as large as its input": (
        (1, 4, 3),
        {"channels": 3, "columns": 20, "kernel": (7, 7), "padding": (3, 3), "stride": (2, 2)},
    ),
    "pixels that see padding alone": ((1, 2, 2), {"channels": 6, "columns": 4, "padding": (2, 2)}),
    "grouped": (
        (2, 6, 6),
        {"channels": 24, "columns": 40, "kernel": (3, 3), "padding": (1, 1), "groups": 4},
    ),
    "grouped wide": ((1, 5, 5), {"channels": 128, "columns": 160, "groups": 2}),
    "grouped without gaps": ((3, 4, 4), {"channels": 32, "columns": 32, "groups": 2, "kernel": (3, 3)}),
    "depthwise": (
        (2, 8, 8),
        {"channels": 80, "columns": 80, "kernel": (3, 3), "padding": (1, 1), "groups": 80},
    ),
    "depthwise ragged, strided": (
        (1, 7, 9),
        {
            "channels": 21,
            "columns": 21,
            "kernel": (5, 5),
            "padding": (2, 2),
            "stride": (2, 2),
            "groups": 21,
        },
    ),
    "depthwise with multiplier": (
        (2, 5, 5),
        {"channels": 11, "columns": 33, "kernel": (3, 3), "padding": (1, 1), "groups": 11},
    ),
    "depthwise conv1d": (
        (1, 1, 30),
        {"channels": 17, "columns": 17, "kernel": (1, 7), "padding": (0, 3), "groups": 17},
    ),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case_name" in metafunc.fixturenames:
        metafunc.parametrize("case_name", LAYER_CASES)


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
def layer_cases() -> dict[str, tuple[tuple[int, int, int], dict[str, Any]]]:
    return LAYER_CASES


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
