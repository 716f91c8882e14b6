"""Random layers on random inputs, many of them senseless: the reference's numbers or a typed error."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from mpsearch.errors import KernelError, ShapeError
from mpsearch.kernels.native import NativeLayer, available_isas
from mpsearch.kernels.quantized_layer import WEIGHT_RANGES
from mpsearch.kernels.reference import run_reference

GUARD = np.float32(12345.0)
TYPES = [np.float32] * 12 + [np.float64, np.float16, np.int8, np.int32, ">f4", np.complex64]


def some_layer(make_layer, rng):
    groups = rng.choice([1, 1, 1, 2, 3, 5])
    inside, outside = rng.choice([1, 1, 2, 5, 16, 33, 70]), rng.choice([1, 1, 2, 7, 17])
    return make_layer(
        rng.choice(sorted(WEIGHT_RANGES)),
        columns=groups * outside,
        channels=groups * inside,
        groups=groups,
        kernel=(rng.randint(1, 4), rng.randint(1, 4)),
        stride=(rng.randint(1, 3), rng.randint(1, 3)),
        padding=(rng.randint(0, 5), rng.randint(0, 3)),
        dilation=(rng.randint(1, 3), rng.randint(1, 2)),
        has_bias=rng.random() < 0.5,
        seed=rng.randrange(100),
    )


def some_input(layer, rng):
    """Mostly of the right shape; sometimes of another, of another type, strided, or not numbers."""
    shape = [rng.choice([0, 1, 1, 2, 3]), rng.randint(0, 9), rng.randint(1, 9), layer.in_channels]
    if rng.random() < 0.2:
        shape[rng.randrange(4)] += rng.choice([-1, 1])
    if rng.random() < 0.05:
        shape = shape[rng.randrange(4) :] + [1] * rng.randrange(3)
    values = np.random.default_rng(rng.randrange(1000)).normal(size=[max(size, 0) for size in shape], scale=2)
    if values.size and rng.random() < 0.3:
        places = rng.choices(range(values.size), k=3)
        values.reshape(-1)[places] = [
            rng.choice([np.nan, np.inf, -np.inf, 1e38, 1e-45, -0.0]) for _ in places
        ]
    with np.errstate(all="ignore"):
        x = values.astype(rng.choice(TYPES))
    return x[..., ::-1] if rng.random() < 0.05 else x


def some_output(shape, rng):
    """A view of guarded memory, of that shape or one that is a little off; and the memory."""
    if rng.random() < 0.15:
        shape = list(shape)
        shape[rng.randrange(4)] += rng.choice([-1, 1])
    shape = [max(size, 0) for size in shape]
    memory = np.full(int(np.prod(shape)) + 64, GUARD, rng.choice([np.float32] * 9 + [np.float64]))
    return memory[32:-32].reshape(shape), memory


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("seed", range(12))
def test_any_layer_on_any_input_is_right_or_a_typed_error(make_layer, native_on, isa, seed):
    rng = random.Random(f"{isa} {seed}")
    ran = 0
    for _ in range(80):
        layer = some_layer(make_layer, rng)
        native = native_on(isa, layer, threads=rng.choice([1, 1, 2, 3]))
        for _ in range(2):
            x = some_input(layer, rng)
            height, width = (x.shape[1], x.shape[2]) if x.ndim == 4 else (5, 5)
            try:
                spatial = native.out_spatial(height, width)
            except ShapeError:
                spatial = (1, 1)
            out, memory = some_output((x.shape[0] if x.ndim else 1, *spatial, layer.out_channels), rng)
            try:
                native.run(x, out)
            except ShapeError:
                assert (memory == GUARD).all()
                continue
            ran += 1
            np.testing.assert_array_equal(out, run_reference(layer, x))
            assert (memory[:32] == GUARD).all()
            assert (memory[-32:] == GUARD).all()
    assert ran > 20


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_to_a_layer_is_a_typed_error_or_a_layer(make_layer, seed):
    rng = random.Random(seed)
    odd = [0, -1, 2, 2**31, 2**64, 1.5, (0, 1), (2, 2), (2**40, 1), (), None]
    for _ in range(60):
        layer = some_layer(make_layer, rng)
        scale = layer.weight_scale.copy()
        scale[rng.randrange(scale.size)] = rng.choice([np.nan, np.inf, 0, -1, 3e38])
        changes = [
            {"weight_scale": scale},
            {"weight": layer.weight[:, :, ::-1]},
            {"weight": layer.weight[:-1]},
            {"weight": layer.weight.astype(rng.choice([np.int16, np.float32, np.uint8]))},
            {
                "bias": np.full(
                    layer.out_channels + rng.choice([-1, 0, 1]), rng.choice([1, np.nan]), np.float32
                )
            },
            {"groups": rng.choice([value for value in odd if isinstance(value, int)])},
            {
                rng.choice(["stride", "padding", "dilation"]): rng.choice(
                    [v for v in odd if isinstance(v, tuple)]
                )
            },
        ]
        try:
            changed = dataclasses.replace(layer, **rng.choice(changes))
            native = NativeLayer(changed)
            x = np.ones((1, 8, 8, changed.in_channels), np.float32)
            native.run(x, np.empty((1, *native.out_spatial(8, 8), changed.out_channels), np.float32))
        except (ShapeError, KernelError):
            continue
