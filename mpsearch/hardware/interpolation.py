"""Latency of a shape that was not measured, from measured ones around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpsearch.hardware.measurement import Measurement
from mpsearch.models.layer_shape import LayerShape

FLOATS = NDArray[np.float64]
MINIMUM_MEASUREMENTS = 6
NEIGHBOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyEstimate:
    """Seconds of one layer call, its quartiles, and whether it was measured or interpolated."""

    latency_s: float
    quartiles_s: tuple[float, float]
    origin: Literal["measured", "interpolated"]


class LatencyModel:
    """Interpolates between measurements of one operator kind and one scheme.

    t = c . [1, MACs, inputs, outputs, weights], c >= 0, fitted in relative error
    (minimise the sum of (t / t_measured - 1)^2), times the mean ratio measured / fitted of the three
    nearest measurements, weighted by 1 / distance^2 in the logarithm of the features.

    Quartiles are those of measured / interpolated over the measurements, each left out of its own neighbours.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._sizes = np.array([_sizes(m.shape) for m in measurements], dtype=np.float64)
        measured_s = np.array([m.latency_s for m in measurements])
        self._features = np.column_stack([np.ones(len(measurements)), self._sizes])
        self._coefficients = _non_negative_fit(
            self._features / measured_s[:, None], np.ones(len(measurements))
        )
        self._log_ratios = np.log(measured_s / (self._features @ self._coefficients))
        self._logs = np.log(self._sizes)
        held_out = [self._correction(row, skip=i) for i, row in enumerate(self._logs)]
        errors = np.exp(self._log_ratios - np.array(held_out))
        low, high = np.quantile(errors, [0.25, 0.75])
        self._quartiles = (min(float(low), 1.0), max(float(high), 1.0))

    def covers(self, shape: LayerShape) -> bool:
        """Whether every size lies between the least and the greatest measured one."""
        sizes = np.array(_sizes(shape), dtype=np.float64)
        return bool(np.all(self._sizes.min(0) <= sizes) and np.all(sizes <= self._sizes.max(0)))

    def estimate(self, shape: LayerShape) -> LatencyEstimate:
        sizes = np.array(_sizes(shape), dtype=np.float64)
        fitted = float(np.concatenate([[1.0], sizes]) @ self._coefficients)
        latency_s = fitted * float(np.exp(self._correction(np.log(sizes))))
        low, high = self._quartiles
        return LatencyEstimate(
            latency_s=latency_s, quartiles_s=(low * latency_s, high * latency_s), origin="interpolated"
        )

    def _correction(self, log_sizes: FLOATS, skip: int | None = None) -> float:
        distances = np.square(self._logs - log_sizes).sum(1)
        if skip is not None:
            distances[skip] = np.inf
        nearest = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        weights = 1 / (distances[nearest] + 1e-3)
        return float(weights @ self._log_ratios[nearest] / weights.sum())


def _sizes(shape: LayerShape) -> tuple[int, int, int, int]:
    return shape.macs, shape.input_count, shape.output_count, shape.weight_count


def _non_negative_fit(a: FLOATS, b: FLOATS) -> FLOATS:
    """The x >= 0 that minimises |a x - b|: the best of all subsets of columns whose solution is >= 0."""
    columns = a.shape[1]
    scale = np.linalg.norm(a, axis=0)
    best, least = np.zeros(columns), float(b @ b)
    for count in range(1, columns + 1):
        for subset in map(list, combinations(range(columns), count)):
            solution = np.linalg.lstsq(a[:, subset] / scale[subset], b, rcond=None)[0] / scale[subset]
            error = float(np.square(a[:, subset] @ solution - b).sum())
            if np.all(solution >= 0) and error < least:
                best, least = np.zeros(columns), error
                best[subset] = solution
    return best
