"""Seconds of one layer call, with weights that come from where they would in a whole model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle

import torch

from mpsearch.hardware.measurement import Measurement
from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import call_step
from mpsearch.precision.scheme import Scheme
from mpsearch.profiling.random_layer import random_input, random_layer
from mpsearch.profiling.timer import DEFAULT_SETTINGS, Call, TimerSettings, time_calls
from mpsearch.profiling.torch_threads import torch_threads

# Bounds of the copies that are rotated: enough for cold weights, not so many that building them takes long.
MAX_COPIES = 32
MAX_COPIES_BYTES = 256 << 20


def time_layer(
    shape: LayerShape,
    footprints_bytes: Mapping[Scheme, int],
    *,
    threads: int,
    settings: TimerSettings = DEFAULT_SETTINGS,
) -> list[tuple[Measurement, bool]]:
    """Time one shape under several schemes in turns; each measurement comes with whether it was noisy.

    In a forward pass a layer's weights were last used one pass ago, and all other weights of the model
    since. Calls therefore rotate among copies of the layer whose weights take `footprints_bytes[scheme]`
    together. The input is the same tensor every time: the layer before has just written it. Code that the
    other layers push out of the instruction cache is not modelled.
    """
    with torch_threads(threads), torch.inference_mode():
        calls = [
            _rotating_call(shape, scheme, footprint, threads)
            for scheme, footprint in footprints_bytes.items()
        ]
        timings = time_calls(calls, settings)
    return [
        (
            Measurement(
                shape=call_step(shape, scheme),
                latency_s=timing.median_s,
                quartiles_s=timing.quartiles_s,
                p95_s=timing.p95_s,
                p99_s=timing.p99_s,
                repetitions=timing.repetitions,
                footprint_bytes=footprint,
            ),
            timing.is_noisy,
        )
        for (scheme, footprint), timing in zip(footprints_bytes.items(), timings, strict=True)
    ]


def copies(shape: LayerShape, scheme: Scheme, footprint_bytes: int) -> int:
    """How many copies of a layer fill the footprint, within bounds."""
    own_bytes = packed_size_bytes(shape.weight_count, scheme)
    wanted = math.ceil(footprint_bytes / own_bytes)
    return max(1, min(wanted, MAX_COPIES, MAX_COPIES_BYTES // own_bytes))


def _rotating_call(shape: LayerShape, scheme: Scheme, footprint_bytes: int, threads: int) -> Call:
    x = random_input(shape)
    layers = [
        random_layer(shape, scheme, threads=threads, seed=seed)
        for seed in range(copies(shape, scheme, footprint_bytes))
    ]
    following = cycle(layers).__next__

    def call() -> object:
        return following()(x)

    return call
