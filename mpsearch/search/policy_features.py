"""What makes the scores of two policies alike: features of policies of any choices, widths included."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.policy_kernels import DAMAGE, OWN_DAMAGE_POWER

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

TERMS = ("bits", "scheme", "layer", "cell", "sensitive", "curvature", "proxy", "residual")
_LENGTH = 0.3  # share of the choices that may change before the residuals of two policies differ by 1 / e
_LEAST_LOSS = 0.01  # of the greatest loss that the proxy knows: where its logarithm bends


class PolicyFeatures:
    """Features of the policies of one space, and the terms of the prior covariance that they make.

    The terms of `PolicyKernels` that are linear in the one-hot code of a policy (bits, scheme, layer, cell)
    and its curvature, for choices of any size; and

    sensitive  sum_c [s_c = s'_c] p_cs    effects of the size that the proxy expects
    proxy      sum_i z_i z'_i             z = log(1 + P / p0), sqrt(P), P of the proxy's sum P
    residual   exp(-d / length)           d: half Hamming, half ordinal distance, in shares of the choices

    A width is a choice without damage: it has a cell and a distance only.

    Shape: codes (P, C) and (Q, C); a column is one code of one choice, S in all; deviations (J,), of `TERMS`.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        policies = knowledge.policies
        sizes = policies.sizes
        self._starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        self._choices, self._columns = len(sizes), int(sizes.sum())
        self._choice_of = np.repeat(np.arange(self._choices), sizes)
        self._damage, self._own = np.zeros(self._columns), np.ones(self._columns)
        self._scheme = np.zeros((self._columns, len(SCHEMES)))
        self._steps = np.zeros((self._columns, int(sizes.max()) - 1))
        of_scheme = np.array([DAMAGE[name] for name in SCHEMES])
        for start, size, places in zip(self._starts, sizes, policies.places, strict=True):
            part = slice(start, start + size)
            height = np.arange(size, dtype=float)
            if places is not None:
                self._damage[part] = height = of_scheme[places]
                self._own[part] = of_scheme[places] ** OWN_DAMAGE_POWER
                self._scheme[np.arange(start, start + size), places] = self._own[part]
            steps = _ordinal_steps(height)
            self._steps[part, : steps.shape[1]] = steps
        self._height = (self._steps**2).sum(axis=1)
        self._scheme /= math.sqrt(self._choices)
        losses = np.zeros(self._columns)
        if knowledge.proxy is not None:
            losses = np.concatenate(knowledge.proxy.losses).astype(float)
        greatest = sum(float(of_choice.max()) for of_choice in self.split(losses)) or 1.0
        self._losses = losses / greatest
        self._sensitive = np.sqrt(losses / (losses.max() or 1.0))

    def terms(self, left: Codes, right: Codes) -> Floats:
        """Each for a deviation of 1. Shape: (J, P, Q)."""
        a, b = self._columns_of(left), self._columns_of(right)
        linear = [x @ y.T for x, y in zip(self._linear(a), self._linear(b), strict=True)]
        own, sensitive = self._scattered(a, self._own), self._scattered(a, self._sensitive)
        cells = [
            own @ self._scattered(b, self._own).T,
            sensitive @ self._scattered(b, self._sensitive).T,
        ]
        curvature = np.outer(self._total(a) ** 2, self._total(b) ** 2)
        proxy = self._proxy(a) @ self._proxy(b).T
        return np.stack([*linear, *cells, curvature, proxy, self._residual(a, b)])

    def covariance(self, left: Codes, right: Codes, deviations: Floats) -> Floats:
        """The sum of all terms times their squared deviations. Shape: (P, Q)."""
        features = self.linear_features(left, deviations)
        others = features if right is left else self.linear_features(right, deviations)
        total: Floats = features @ others.T
        total += deviations[-1] ** 2 * self.similarity(left, right)
        return total

    def similarity(self, left: Codes, right: Codes) -> Floats:
        """The residual's term. Shape: (P, Q)."""
        return self._residual(self._columns_of(left), self._columns_of(right))

    def linear_features(self, codes: Codes, deviations: Floats) -> Floats:
        """All but the residual: rows whose products are the covariance without it. Shape: (P, F)."""
        return self._joined(self._columns_of(codes), deviations)

    def cell_effects(self, weights: Floats, deviations: Floats, at: Codes) -> tuple[Floats, ...]:
        """What each code of each choice adds to linear_features @ weights near each of the policies `at`.

        Exact but for curvature and proxy, which grow as they do there.

        Shape: weights (F,); at (A, C) -> for each choice (A, its size).
        """
        ends = np.cumsum([1, self._scheme.shape[1], self._choices, self._columns, 1])
        bits, scheme, layer, cell, curvature, proxy = np.split(weights, ends)
        damage = self._damage / math.sqrt(self._choices)
        effects = deviations[0] * bits * damage + deviations[1] * self._scheme @ scheme
        effects += deviations[2] * self._damage * layer[self._choice_of] + self._cell(deviations) * cell
        there = self._columns_of(at)
        bend = deviations[5] * curvature * 2 * self._total(there)
        slope = deviations[6] * self._proxy_slopes(there) @ proxy
        return self.split(effects + np.outer(bend, damage) + np.outer(slope, self._losses))

    def split(self, columns: Floats) -> tuple[Floats, ...]:
        """Numbers of columns -> those of each choice. Shape: (..., S) -> C of (..., size)."""
        return tuple(np.split(columns, self._starts[1:], axis=-1))

    def _columns_of(self, codes: Codes) -> Codes:
        columns: Codes = codes + self._starts
        return columns

    def _linear(self, columns: Codes) -> tuple[Floats, Floats, Floats]:
        counts = np.zeros((len(columns), self._scheme.shape[1]))
        for of_choice in columns.T:
            counts += self._scheme[of_choice]
        return self._total(columns)[:, None], counts, self._damage[columns]

    def _total(self, columns: Codes) -> Floats:
        total: Floats = self._damage[columns].sum(axis=1) / math.sqrt(self._choices)
        return total

    def _scattered(self, columns: Codes, values: Floats) -> Floats:
        """One-hot codes times one value a column."""
        spread = np.zeros((len(columns), self._columns))
        np.put_along_axis(spread, columns, values[columns], axis=1)
        return spread

    def _proxy(self, columns: Codes) -> Floats:
        share = self._losses[columns].sum(axis=1)
        return np.column_stack((0.5 * np.log1p(share / _LEAST_LOSS), 2 * np.sqrt(share), 2 * share))

    def _proxy_slopes(self, columns: Codes) -> Floats:
        share = self._losses[columns].sum(axis=1)
        root = np.sqrt(np.maximum(share, _LEAST_LOSS))
        return np.column_stack((0.5 / (_LEAST_LOSS + share), 1 / root, np.full(len(share), 2.0)))

    def _joined(self, columns: Codes, deviations: Floats) -> Floats:
        bits, scheme, layer = self._linear(columns)
        return np.concatenate(
            [
                deviations[0] * bits,
                deviations[1] * scheme,
                deviations[2] * layer,
                self._scattered(columns, self._cell(deviations)),
                deviations[5] * bits**2,
                deviations[6] * self._proxy(columns),
            ],
            axis=1,
        )

    def _cell(self, deviations: Floats) -> Floats:
        """Deviation of each column's own effect."""
        size: Floats = np.hypot(deviations[3] * self._own, deviations[4] * self._sensitive)
        return size

    def _residual(self, left: Codes, right: Codes) -> Floats:
        common = self._ordinal(left) @ self._ordinal(right).T
        heights = self._height[left].sum(axis=1)[:, None] + self._height[right].sum(axis=1)
        apart = 0.5 * (self._choices + heights) - common
        np.maximum(apart, 0.0, out=apart)
        apart *= -1 / (_LENGTH * self._choices)
        similarity: Floats = np.exp(apart, out=apart)
        return similarity

    def _ordinal(self, columns: Codes) -> Floats:
        """Rows whose products are half the choices that agree, and the smaller heights of all."""
        same = self._scattered(columns, np.full(self._columns, math.sqrt(0.5)))
        return np.concatenate([same, self._steps[columns].reshape(len(columns), -1)], axis=1)


def _ordinal_steps(height: Floats) -> Floats:
    """Rows whose products are the smaller of two heights, of 0..1. Shape: (S,) -> (S, S - 1) at most."""
    span = height.max() - height.min()
    if span == 0:
        return np.zeros((len(height), 0))
    share = (height - height.min()) / span
    levels = np.unique(share)
    steps: Floats = np.sqrt(np.diff(levels)) * (share[:, None] >= levels[1:])
    return steps
