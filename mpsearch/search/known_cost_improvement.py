"""What a policy is expected to add to the front, where its costs are known and only its score is not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.free_boxes import free_boxes
from mpsearch.search.learnt_scale import LearntScale

Floats = NDArray[np.float64]

_KNOTS = 33  # between which a loss is taken as linear in its latent value, beside the losses of the front
_CHUNK = 1 << 20  # numbers in an array at a time
_SCREENED = 400  # policies whose expectation is found: those that gain most if all goes well
_WELL = 2.0  # deviations below its mean is a loss then


class KnownCostImprovement:
    """Expected hypervolume improvement, with the cost coordinates constants.

    What the front leaves free of objective space is a sum of boxes. A policy of costs c has the section
    V_b(c) = prod_j max(0, high_bj - max(low_bj, c_j)) of box b, and gains of it what lies above its loss l:

    E = sum_b V_b(c) (G(high_b) - G(low_b)),  G(u) = E[max(0, u - l)]

    G is closed for a normal latent value t, with l linear in t between knots: a sum of t Phi + phi. Where no
    objective is learnt, E = sum_b V_b(c) times the probability that the loss is at most `most_loss`.

    Shape: front (F, M), ideal and reference (M,), all minimised: the loss first where it `is_learnt`, then
    the costs of the objectives.
    Source: Emmerich et al. 2011, 10.1109/CEC.2011.5949880; boxes: `mpsearch.pareto.free_boxes`.
    """

    def __init__(
        self,
        front: Floats,
        *,
        ideal: Floats,
        reference: Floats,
        scale: LearntScale,
        samples: int,
        is_learnt: bool,
        most_loss: float = math.inf,
    ) -> None:
        self._scale, self._is_learnt = scale, is_learnt
        self._at_most = float(self._latent(np.array([most_loss]), scale, samples)[0])
        corner = reference.copy()
        if is_learnt:
            corner[0] = min(corner[0], most_loss)
        self._lows, self._highs = free_boxes(front, ideal, corner)
        if is_learnt:
            first, last = self._latent(np.array([ideal[0], corner[0]]), scale, samples).tolist()
            within = np.linspace(first, last, _KNOTS)
            edges = np.concatenate((self._lows[:, 0], self._highs[:, 0]))
            self._knots = np.unique(np.concatenate((edges, scale.inverse(within[1:-1]))))
            self._low_at = np.searchsorted(self._knots, self._lows[:, 0])
            self._high_at = np.searchsorted(self._knots, self._highs[:, 0])
            self._latents = self._latent(self._knots, scale, samples)

    def expected(self, costs: Floats, mean: Floats, deviation: Floats) -> Floats:
        """Of more than `_SCREENED` policies, 0 for those that gain little even if all goes well.

        Shape: costs (P, K) of the objectives, latent mean and deviation (P,) -> (P,).
        """
        if not self._is_learnt:
            return self.gains(costs, np.zeros(len(costs))) * _normal_below((self._at_most - mean) / deviation)
        gains = np.zeros(len(costs))
        rows = np.arange(len(costs))
        if len(costs) > _SCREENED:
            hoped = self.gains(costs, self._scale.inverse(mean - _WELL * deviation))
            rows = np.argpartition(-hoped, _SCREENED)[:_SCREENED]
        step = max(1, _CHUNK // len(self._knots))
        for part in np.split(rows, range(step, len(rows), step)):
            below = self._expected_below(mean[part, None], deviation[part, None])
            within = below[:, self._high_at] - below[:, self._low_at]
            gains[part] = np.einsum("pb,pb->p", self._sections(costs[part]), within)
        return gains

    def gains(self, costs: Floats, losses: Floats) -> Floats:
        """What policies of known losses add. Shape: (P, K), (P,) -> (P,)."""
        gains = np.zeros(len(costs))
        step = max(1, _CHUNK // max(1, len(self._lows)))
        for start in range(0, len(costs), step):
            part = slice(start, start + step)
            sections = self._sections(costs[part])
            if self._is_learnt:
                low, high = self._lows[:, 0], self._highs[:, 0]
                sections *= np.maximum(0.0, high - np.maximum(low, losses[part, None]))
            gains[part] = sections.sum(axis=1)
        return gains

    def _sections(self, costs: Floats) -> Floats:
        """V_b(c). Shape: (P, K) -> (P, B)."""
        first = 1 if self._is_learnt else 0
        sections = np.ones((len(costs), len(self._lows)))
        for j in range(costs.shape[1]):
            low, high = self._lows[:, first + j], self._highs[:, first + j]
            sections *= np.maximum(0.0, high - np.maximum(low, costs[:, j : j + 1]))
        return sections

    def _expected_below(self, mean: Floats, deviation: Floats) -> Floats:
        """G at the knots, but for a constant. Shape: (P, 1) -> (P, knots)."""
        z = (self._latents - mean) / deviation
        probability = _normal_below(z)
        integral = deviation * (z * probability + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
        steps, heights = np.diff(self._latents), np.diff(self._knots)
        is_flat = steps <= 0  # shares nearer to 0 or 1 than half a sample
        slopes = np.where(is_flat, 0.0, heights / np.where(is_flat, 1.0, steps))
        pieces = np.diff(integral, axis=1) * slopes + probability[:, 1:] * (heights * is_flat)
        below = np.zeros_like(z)
        np.cumsum(pieces, axis=1, out=below[:, 1:])
        return below

    @staticmethod
    def _latent(losses: Floats, scale: LearntScale, samples: int) -> Floats:
        latent: Floats = scale.scale.of_error(scale.clipped(losses, samples))
        return latent


def _normal_below(z: Floats) -> Floats:
    from scipy.special import ndtr  # noqa: PLC0415 - scipy is slow to import

    probability: Floats = ndtr(z)
    return probability
