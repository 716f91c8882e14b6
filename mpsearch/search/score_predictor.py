"""Scores of untrained policies, predicted from those of trained ones: kernel ridge regression."""

from __future__ import annotations

import numpy as np

from mpsearch.search.known_policies import Floats

_SCALES = (0.5, 1.0, 2.0)  # of distances, times the square root of the number of features
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


class ScorePredictor:
    """Least squares in features and in radial functions around the trained policies, with a ridge.

    f(x) = k(x, X) (K + r I)^-1 (y - mean y), k(a, b) = a'b / d + exp(-|a - b|^2 / (2 d s^2)), of d features
    in -1 to 1. The scale s and the ridge r are those with the least error of a trial left out.

    Shape: features (N, d), scores (N,), N > 0.
    Source: linear tail and radial functions as in Lee et al. 2025 (AMQ), arXiv:2509.12019, and Lu et al.
    2020 (NSGANetV2), arXiv:2007.10396; Cai et al. 2020, arXiv:1908.09791, take a small network instead.
    """

    def __init__(self, features: Floats, scores: Floats) -> None:
        self._features, self._mean = features, float(scores.mean())
        centred = scores - self._mean
        errors: list[tuple[float, float, Floats]] = []
        for scale in _SCALES:
            # One decomposition serves all ridges.
            values, vectors = np.linalg.eigh(_kernel(features, features, scale))
            for ridge in _RIDGES:
                inverse = 1.0 / (np.maximum(values, 0.0) + ridge)
                weights = vectors @ (inverse * (vectors.T @ centred))
                left_out = weights / ((vectors**2) @ inverse)  # y - f(x), f fitted to all others
                errors.append((float(left_out @ left_out), scale, weights))
        _, self._scale, self._weights = min(errors, key=lambda error: error[0])

    def predict(self, features: Floats) -> Floats:
        """Shape: (P, d) -> (P,)."""
        predicted: Floats = self._mean + _kernel(features, self._features, self._scale) @ self._weights
        return predicted


def _kernel(left: Floats, right: Floats, scale: float) -> Floats:
    count = max(left.shape[1], 1)
    products = left @ right.T
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2 * products
    kernel: Floats = products / count + np.exp(-np.maximum(squares, 0.0) / (2 * count * scale**2))
    return kernel
