"""How alike the accuracies of two policies are, term by term."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpsearch.precision.scheme import SCHEMES

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

# What a scheme takes away, relative to w1a1: the size of an effect that is expected before any trial.
DAMAGE = {"w1a1": 1.0, "w1a8": 0.7, "w1.58a8": 0.55, "w4a8": 0.25, "w8a8": 0.15, "w32a32": 0.1}
# Single cells may stray from that order, so their expected sizes differ less.
OWN_DAMAGE_POWER = 0.5


def deviation_medians(choices: int) -> Floats:
    """What the deviations of the six terms and of the noise are a priori, relative to that of the scores."""
    root = math.sqrt(choices)
    return np.array([1.5, 0.4, 1.0 / root, 0.6 / root, 0.3, 1.0 / choices, 0.2])


def deviation_prior() -> Floats:
    """Covariance (7, 7) of the logarithms of the deviations.

    Those of `scheme`, `layer`, `cell` and `pairs` go with that of `bits`: where few bits cost much, they cost
    much more in some layers than in others.
    """
    loading = np.diag([1.0, 0.7, 0.5, 0.6, 1.0, 0.8, 1.2])
    loading[[1, 2, 3, 5], 0] = 1.0
    return loading @ loading.T


class PolicyKernels:
    """The terms of the prior covariance of T(error), each for a deviation of 1.

    With the damage g of a scheme, and t = sum over choices of g / sqrt(choices):

    bits       t t'                    effects grow with what schemes take away, alike in all choices
    scheme     sum_s n_s n'_s g_s / C  a mean of each scheme over the choices (n_s: choices that take it)
    layer      sum_c g_c g'_c          how sensitive each choice is
    cell       sum_c [s_c = s'_c] g_c  what is particular to one choice at one scheme
    curvature  t^2 t'^2                many low choices together cost more, or less, than their sum
    pairs      sum_{c<d} k_c k'_d      pairs of choices; k the mean of the layer and cell terms

    Shape: ranks (P, C) and (Q, C), places in `SCHEMES`; each term (P, Q).
    """

    def __init__(self, left: Ranks, right: Ranks) -> None:
        self._left = _Features(left)
        self._right = _Features(right)

    def terms(self) -> Floats:
        """Shape: (6, P, Q)."""
        a, b = self._left, self._right
        layer = a.damage @ b.damage.T
        cell = a.cells @ b.cells.T
        strong_cell = a.strong_cells @ b.strong_cells.T
        k = (layer + strong_cell) / 2
        layer_squares = a.damage**2 @ (b.damage**2).T
        cell_squares = a.strong_cells**2 @ (b.strong_cells**2).T
        own_squares = (layer_squares + 3 * cell_squares) / 4  # (g g' (1 + [s = s']) / 2)^2
        return np.stack(
            [
                np.outer(a.total, b.total),
                a.counts @ b.counts.T,
                layer,
                cell,
                np.outer(a.total**2, b.total**2),
                (k**2 - own_squares) / 2,
            ]
        )


class _Features:
    def __init__(self, ranks: Ranks) -> None:
        policies, choices = ranks.shape
        damage = np.array([DAMAGE[name] for name in SCHEMES])
        one_hot = np.zeros((policies, choices, len(damage)))
        np.put_along_axis(one_hot, ranks[:, :, None], 1.0, axis=2)
        self.damage = damage[ranks]
        self.total = self.damage.sum(1) / math.sqrt(choices)
        self.counts = one_hot.sum(1) * damage**OWN_DAMAGE_POWER / math.sqrt(choices)
        self.cells = (one_hot * damage**OWN_DAMAGE_POWER).reshape(policies, -1)
        self.strong_cells = (one_hot * damage).reshape(policies, -1)
