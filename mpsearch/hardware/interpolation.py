"""Latency of a step that was not measured, from measured ones around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.hardware.measurement import Measurement
from mpsearch.plan.step import StepShape

FLOATS = NDArray[np.float64]
MINIMUM_MEASUREMENTS = 6
NEIGHBOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyEstimate:
    """Seconds of one step: median, quartiles and percentiles, and whether they were measured."""

    latency_s: float
    quartiles_s: tuple[float, float]
    p95_s: float
    p99_s: float
    origin: Literal["measured", "interpolated"]


def interpolation_key(shape: StepShape) -> tuple[str, str, str]:
    """Steps that are interpolated among each other: kind, operator, scheme."""
    layer, scheme = shape.layer, shape.scheme
    return shape.kind, "" if layer is None else layer.kind, "" if scheme is None else scheme.name


class LatencyModel:
    """Interpolates between measurements of one `interpolation_key`.

    t = c . [1, MACs, inputs, float32 outputs, byte-image outputs, bit-image outputs, residual, weights],
    c >= 0, fitted in relative error (minimise the sum of (t / t_measured - 1)^2), times the mean ratio
    measured / fitted of the three nearest measurements, weighted by 1 / distance^2 in the logarithm of the
    features.

    Quartiles are those of measured / interpolated over the measurements, each left out of its own neighbours;
    percentiles keep the median ratio to the median that measured steps have.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        sizes = np.array([_sizes(m.shape) for m in measurements], dtype=np.float64)
        measured_s = np.array([m.latency_s for m in measurements])
        features = np.column_stack([np.ones(len(measurements)), sizes])
        self._coefficients = _non_negative_fit(features / measured_s[:, None], np.ones(len(measurements)))
        self._log_ratios = np.log(measured_s / (features @ self._coefficients))
        self._logs = np.log1p(sizes)
        bounded = np.array([_counts(m.shape) for m in measurements], dtype=np.float64)
        self._least, self._greatest = bounded.min(0), bounded.max(0)
        held_out = [self._correction(row, skip=i) for i, row in enumerate(self._logs)]
        low, high = np.quantile(np.exp(self._log_ratios - np.array(held_out)), [0.25, 0.75])
        self._quartiles = (min(float(low), 1.0), max(float(high), 1.0))
        self._p95 = max(float(np.median([m.p95_s / m.latency_s for m in measurements])), self._quartiles[1])
        self._p99 = max(float(np.median([m.p99_s / m.latency_s for m in measurements])), self._p95)

    def covers(self, shape: StepShape) -> bool:
        """Whether work, inputs, outputs and weights each lie between the least and the greatest measured."""
        bounds = np.array(_counts(shape), dtype=np.float64)
        return bool(np.all(self._least <= bounds) and np.all(bounds <= self._greatest))

    def estimate(self, shape: StepShape) -> LatencyEstimate:
        sizes = np.array(_sizes(shape), dtype=np.float64)
        fitted = float(np.concatenate([[1.0], sizes]) @ self._coefficients)
        latency_s = fitted * float(np.exp(self._correction(np.log1p(sizes))))
        low, high = self._quartiles
        return LatencyEstimate(
            latency_s=latency_s,
            quartiles_s=(low * latency_s, high * latency_s),
            p95_s=self._p95 * latency_s,
            p99_s=self._p99 * latency_s,
            origin="interpolated",
        )

    def _correction(self, log_sizes: FLOATS, skip: int | None = None) -> float:
        distances = np.square(self._logs - log_sizes).sum(1)
        if skip is not None:
            distances[skip] = np.inf
        nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        weights = 1 / (distances[nearest] + 1e-3)
        return float(weights @ self._log_ratios[nearest] / weights.sum())


def _counts(shape: StepShape) -> tuple[int, int, int, int]:
    """MACs (pools: taps), values read, values computed, weights."""
    inputs = shape.batch * math.prod(shape.size)
    outputs = shape.batch * math.prod(shape.out_size)
    if shape.layer is not None:
        return shape.layer.macs, inputs, outputs, shape.layer.weight_count
    return outputs * math.prod(shape.kernel), inputs, outputs, 0


def _sizes(shape: StepShape) -> tuple[int, ...]:
    macs, inputs, outputs, weights = _counts(shape)
    written = shape.outputs
    return (
        macs,
        inputs,
        outputs * written.float32,
        outputs * written.byte_images,
        outputs * written.bit_images,
        outputs * shape.residual,
        weights,
    )


def _non_negative_fit(a: FLOATS, b: FLOATS) -> FLOATS:
    """The x >= 0 that minimises |a x - b|: the best of all subsets of columns whose solution is >= 0."""
    columns = a.shape[1]
    scale = np.linalg.norm(a, axis=0)
    present = [column for column in range(columns) if scale[column] > 0]
    best, least = np.zeros(columns), float(b @ b)
    for count in range(1, len(present) + 1):
        for subset in map(list, combinations(present, count)):
            solution = np.linalg.lstsq(a[:, subset] / scale[subset], b, rcond=None)[0] / scale[subset]
            error = float(np.square(a[:, subset] @ solution - b).sum())
            if np.all(solution >= 0) and error < least:
                best, least = np.zeros(columns), error
                best[subset] = solution
    return best
