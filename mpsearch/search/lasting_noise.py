"""Which part of the noise a policy shows again with another seed: learnt from those trained again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PARTS = 16  # of equal prior mass


def lasting_part(y: Floats, covariance: Floats, shared: Floats, quantile: float) -> tuple[float, float]:
    """The lasting part p at a quantile of its posterior, and log p(y) / p(y | p = 0).

    y ~ N(0, covariance + p shared), p² uniform on 0..1 a priori: seeds move a trained score less than the
    policy does, so p is more likely large. Where nothing is shared, p is the root of the quantile.

    Shape: y (N,); covariance (N, N), with all noise on its diagonal; shared (N, N), what the noise of two
    trainings of one policy would share if all of it lasted: 0 elsewhere and on the diagonal.
    """
    if not shared.any():
        return float(np.sqrt(quantile)), 0.0
    squares = (np.arange(_PARTS) + 0.5) / _PARTS
    gained = _log_densities(y, covariance, shared, np.sqrt(squares))
    weights = np.exp(gained - gained.max())
    ends = np.concatenate(([0.0], np.cumsum(weights) / weights.sum()))
    square = float(np.interp(quantile, ends, np.arange(_PARTS + 1) / _PARTS))
    return float(np.sqrt(square)), float(gained.max() + np.log(weights.mean()))


def _log_densities(y: Floats, covariance: Floats, shared: Floats, parts: Floats) -> Floats:
    """For each part p: log p(y | p) / p(y | 0) = -1/2 sum of log(1 + p m) + z² / (1 + p m) - z².

    m and Q are eigenvalues and vectors of L^-1 shared L^-T, L L' is the covariance, z = Q' L^-1 y.
    """
    factor = np.linalg.cholesky(covariance)
    values, vectors = np.linalg.eigh(np.linalg.solve(factor, np.linalg.solve(factor, shared).T))
    squares = (vectors.T @ np.linalg.solve(factor, y)) ** 2
    stretched = 1 + parts[:, None] * values
    density: Floats = -0.5 * (np.log(stretched) + squares / stretched - squares).sum(axis=1)
    return density
