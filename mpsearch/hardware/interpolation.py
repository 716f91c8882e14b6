"""Latency of a step that was not measured, from measured ones around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.hardware.measurement import Measurement
from mpsearch.plan.step import StepShape

FLOATS = NDArray[np.float64]
MINIMUM_MEASUREMENTS = 6
# Of the correction: how far it reaches in the logarithm of sizes, and how much of it is noise.
_REACH = 8.0
_NOISE = 0.1
_FORMAT_DISTANCE = 0.3
_STRIDE_DISTANCE = 2.0
_TAIL_DISTANCE = 0.5
# Channels are computed in tiles of so many; bytes are summed four at a time, bits 64 at a time.
_TILES = (16, 32)
_BYTES = 4
_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyEstimate:
    """Seconds of one step: median, quartiles and percentiles, and whether they were measured."""

    latency_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    origin: Literal["measured", "interpolated"]


def interpolation_key(shape: StepShape) -> tuple[str, str, str]:
    """Steps that are interpolated among each other: kind, operator, scheme with extras."""
    layer, scheme = shape.layer, shape.scheme
    extras = shape.extras if layer is None else layer.extras
    computed = [] if scheme is None else [scheme.name]
    return shape.kind, "" if layer is None else layer.kind, " ".join([*computed, *extras])


class LatencyModel:
    """Interpolates between measurements of one `interpolation_key`.

    t = c . features * exp(g(logarithms of sizes)), c >= 0

    The first factor is fitted in relative error (minimise the sum of (t / t_measured - 1)^2) to what the
    kernels do: MACs, with channels filled up to whole tiles too, taps, inputs, weights, and outputs by
    format; see `_features`. g is the mean of a Gaussian process (kernel exp(-distance / 8), noise 0.1)
    through the logarithms of measured / fitted.

    Quartiles are those of measured / interpolated over the measurements, each left out of g; percentiles keep
    the median ratio to the median that measured steps have.

    Source: Lawson and Hanson 1974, Solving Least Squares Problems, ch. 23, for c; Rasmussen and Williams
    2006, Gaussian Processes for Machine Learning, eq. 2.25 and 5.12, for g and what is left out of it.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        measured_s = np.array([m.latency_s for m in measurements])
        features = np.array([_features(m.shape) for m in measurements], dtype=np.float64)
        self._coefficients = _non_negative_fit(features / measured_s[:, None], np.ones(len(measurements)))
        log_ratios = np.log(measured_s / (features @ self._coefficients))
        self._places = np.array([_place(m.shape) for m in measurements], dtype=np.float64)
        kernel = _nearness(self._places, self._places) + _NOISE * np.eye(len(measurements))
        inverse = np.linalg.inv(kernel)
        self._weights = inverse @ log_ratios
        left_out = np.exp(self._weights / np.diag(inverse))
        low, high = np.quantile(left_out, [0.25, 0.75])
        self._quartiles = (min(float(low), 1.0), max(float(high), 1.0))
        self._p95 = max(float(np.median([m.p95_s / m.latency_s for m in measurements])), self._quartiles[1])
        self._p99 = max(float(np.median([m.p99_s / m.latency_s for m in measurements])), self._p95)
        bounded = np.array([_counts(m.shape) for m in measurements], dtype=np.float64)
        self._least, self._greatest = bounded.min(0), bounded.max(0)

    def covers(self, shape: StepShape) -> bool:
        """Whether work, inputs, outputs and weights each lie between the least and the greatest measured."""
        counts = np.array(_counts(shape), dtype=np.float64)
        return bool(np.all(self._least <= counts) and np.all(counts <= self._greatest))

    def estimate(self, shape: StepShape) -> LatencyEstimate:
        fitted = float(np.array(_features(shape), dtype=np.float64) @ self._coefficients)
        place = np.array([_place(shape)], dtype=np.float64)
        latency_s = fitted * math.exp(float((_nearness(place, self._places) @ self._weights)[0]))
        low, high = self._quartiles
        return LatencyEstimate(
            latency_s=latency_s,
            quartiles_s=(low * latency_s, high * latency_s),
            p95_s=self._p95 * latency_s,
            p99_s=self._p99 * latency_s,
            origin="interpolated",
        )


def _counts(shape: StepShape) -> tuple[int, int, int, int]:
    """MACs (pools: taps), values read, values computed, weights."""
    inputs = shape.batch * math.prod(shape.size)
    outputs = shape.batch * math.prod(shape.out_size)
    if shape.layer is not None:
        return shape.layer.macs, inputs, outputs, shape.layer.weight_count
    return outputs * math.prod(shape.kernel), inputs, outputs, 0


def _features(shape: StepShape) -> tuple[int, ...]:
    """Of any step: 1, MACs, inputs, outputs by format, residual. Of a layer also what its tiles take."""
    macs, inputs, outputs, weights = _counts(shape)
    written = shape.outputs
    of_all = (
        1,
        macs,
        inputs,
        outputs * written.float32,
        outputs * written.byte_images,
        outputs * written.bit_images,
        outputs * shape.residual,
    )
    layer = shape.layer
    if layer is None:
        return of_all
    pixels, taps = layer.batch * math.prod(layer.out_spatial), math.prod(layer.kernel)
    depth = layer.in_channels // layer.groups
    features = [*of_all, weights, pixels, pixels * taps]
    for tile in _TILES:
        tiled = _filled(layer.out_channels, tile)
        has_tail = layer.out_channels % tile > 0
        features += [
            pixels * tiled,
            pixels * tiled * layer.reduction,
            pixels * tiled * taps * _filled(depth, _BYTES),
            pixels * tiled * taps * _filled(depth, _BITS),
            tiled * _filled(layer.reduction, _BITS),
            pixels * (layer.out_channels // tile) * layer.reduction,
            pixels * has_tail,
            pixels * has_tail * layer.reduction,
        ]
    return tuple(features)


def _place(shape: StepShape) -> tuple[float, ...]:
    """Where a step lies among others: logarithms of what its speed depends on, and its formats."""
    written = shape.outputs
    formats = (written.float32, written.byte_images, written.bit_images, shape.residual)
    steps = tuple(_FORMAT_DISTANCE * count for count in formats)
    layer = shape.layer
    if layer is None:
        return (*(math.log1p(count) for count in _counts(shape)[:3]), *steps)
    depth = layer.in_channels // layer.groups
    sizes = (
        layer.batch * math.prod(layer.out_spatial),
        layer.out_channels,
        *(_filled(layer.out_channels, tile) for tile in _TILES),
        layer.reduction,
        depth,
        _filled(depth, _BITS),
        math.prod(layer.kernel),
    )
    tails = (_TAIL_DISTANCE * (layer.out_channels % tile > 0) for tile in _TILES)
    is_strided = _STRIDE_DISTANCE * (max(layer.stride) > 1)
    return (*(math.log(size) for size in sizes), is_strided, *tails, *steps)


def _filled(count: int, whole: int) -> int:
    """The least multiple of `whole` that is no less."""
    return -(-count // whole) * whole


def _nearness(a: FLOATS, b: FLOATS) -> FLOATS:
    """Shape: a (P, D), b (Q, D) -> (P, Q)."""
    distances = np.sqrt(np.square(a[:, None] - b[None]).sum(-1))
    near: FLOATS = np.exp(-distances / _REACH).astype(np.float64)
    return near


def _non_negative_fit(a: FLOATS, b: FLOATS) -> FLOATS:
    """The x >= 0 that minimises |a x - b|, by the active-set method of Lawson and Hanson."""
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    a = a / scale
    x = np.zeros(a.shape[1])
    is_free = np.zeros(a.shape[1], dtype=bool)
    for _ in range(10 * a.shape[1]):
        descent = np.where(is_free, -np.inf, a.T @ (b - a @ x))
        if descent.max() <= 1e-10:
            break
        is_free[descent.argmax()] = True
        while is_free.any():
            trial = np.zeros(a.shape[1])
            trial[is_free] = np.linalg.lstsq(a[:, is_free], b, rcond=None)[0]
            is_bad = is_free & (trial <= 0)
            if not is_bad.any():
                x = trial
                break
            x = x + (x[is_bad] / (x[is_bad] - trial[is_bad])).min() * (trial - x)
            is_free &= x > 1e-14
            x = np.where(is_free, x, 0.0)
    fitted: FLOATS = x / scale
    return fitted
