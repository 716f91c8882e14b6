"""A regression of accuracy on the schemes of the choices, for few trials and many cells never seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.hyperparameters import GaussianData, Hyperparameters, hyperparameter_draws
from mpsearch.search.policy_kernels import PolicyKernels, term_medians
from mpsearch.search.score_scale import SCALES, ScoreScale, smoothed_error

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

_POINTS = 48  # hyperparameters that the posterior is averaged over
_LARGE = 160  # trials from which on hyperparameters are learnt from a part of the trials
_LARGE_POINTS = 5
_DRAWS = 2400
_TAILS = (0.025, 0.5, 0.975)
_NOISE_MEDIAN = 0.2  # of the deviation of the scores, beyond the noise of drawing samples
_CONSTANT = 9.0
MOST_REPEATS = 55
_REPEATS = (1, 2, 3, 5, 8, 13, 21, 34, MOST_REPEATS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyChanges:
    """What to expect of Q policies in place of a reference policy; accuracies are shares of 1.

    `reference`: accuracy of the reference; `change` (Q,): changes to it, both medians. `low`, `high` (Q,):
    95% lies between them. `repeats` (Q,): how many more trials of the changed policy would put the interval
    on one side of -tolerance, were the median right; 0 where it is there, -1 where `MOST_REPEATS` would not.
    """

    reference: float
    change: Floats
    low: Floats
    high: Floats
    repeats: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """Each trial's accuracy as expected from all others (N,), in the order in which the trials were given."""

    predicted: Floats
    measured: Floats


class AccuracyModel:
    """Posterior of accuracy over policies, given trials.

    T(error) = m + sum over choices of b[choice, scheme] + interactions + noise

    A Gaussian process whose kernel is a sum of the terms in `PolicyKernels`: effects of a scheme share a mean
    over the choices, those of a choice share its sensitivity, and each is expected to grow with what the
    scheme takes away; pairs of choices and the sum of all may interact. Noise is at least that of drawing
    the validation samples. The scale T is the one of `SCALES` that explains the trials best; the deviations
    of the terms are integrated over.

    Shape: ranks (N, C), places in `SCHEMES`; scores (N,). `samples` is what one score is the mean of.
    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, chapters 2 and 5.
    """

    def __init__(self, ranks: Ranks, scores: Floats, *, samples: int) -> None:
        # All sums below run in an order that follows from the trials, not from when they ran.
        self._given = np.lexsort((scores, *ranks.T[::-1]))
        self.ranks, self.scores, self.samples = ranks[self._given], scores[self._given], samples
        self._terms = PolicyKernels(self.ranks, self.ranks).terms()
        fits = [self._fitted(scale) for scale in SCALES]
        self._fit = max(fits, key=lambda fit: fit.log_evidence)
        points = _LARGE_POINTS if len(scores) > _LARGE else _POINTS
        self._deviations, times = self._fit.hyperparameters.resampled(points)
        self._times = times
        self._inverses = [np.linalg.inv(self._fit.data.covariances(row[None])[0]) for row in self._deviations]

    @property
    def scale(self) -> ScoreScale:
        return self._fit.scale

    def changes(self, reference: Ranks, changed: Ranks, *, tolerance: float) -> AccuracyChanges:
        """Shape: reference (C,), changed (Q, C)."""
        queries = np.concatenate([reference[None], changed])
        to_trials = PolicyKernels(queries, self.ranks).terms()
        among = PolicyKernels(queries, queries).terms()
        own, with_reference = np.diagonal(among, axis1=1, axis2=2), among[:, 0]
        moments = [
            self._moments(row, inverse, to_trials, own, with_reference)
            for row, inverse in zip(self._deviations, self._inverses, strict=True)
        ]
        change, base = self._drawn(moments)
        low, median, high = np.quantile(change, _TAILS, axis=0)
        reference_accuracy = float(np.median(base))
        return AccuracyChanges(
            reference=reference_accuracy,
            change=median,
            low=low,
            high=high,
            repeats=self._repeats(moments, (low, median, high), reference_accuracy, tolerance),
        )

    def left_out(self) -> LeftOut:
        """Leave-one-out predictions in closed form, the deviations of the terms as learnt from all trials."""
        fit = self._fit
        expected = np.zeros(len(self.scores))
        for inverse, times in zip(self._inverses, self._times, strict=True):
            without = fit.data.y - (inverse @ fit.data.y) / np.diagonal(inverse)
            expected += times / self._times.sum() * (1 - fit.scale.inverse(without + fit.mean))
        original = np.argsort(self._given)
        return LeftOut(predicted=expected[original], measured=self.scores[original])

    def noise(self, accuracy: float) -> float:
        """Standard deviation of one trial's score at that accuracy around what the model can explain."""
        error = float(np.clip(1 - accuracy, 0.5 / (self.samples + 1), 1 - 0.5 / (self.samples + 1)))
        slope = float(self.scale.slope(np.array(error)))
        extra = float(np.average(self._deviations[:, -1] ** 2, weights=self._times))
        return math.sqrt(extra / slope**2 + error * (1 - error) / self.samples)

    def _fitted(self, scale: ScoreScale) -> _Fit:
        errors = smoothed_error(self.scores, self.samples)
        y = scale.of_error(errors)
        mean = float(y.mean())
        sampling = _sampling_variance(scale, errors, self.samples)
        deviation = math.sqrt(max(float(y.var()), float(np.median(sampling))))
        medians = np.append(term_medians(self.ranks.shape[1]), _NOISE_MEDIAN) * deviation
        data = GaussianData(
            y=y - mean,
            terms=self._terms,
            constant=_CONSTANT * deviation**2,
            floor=np.full(len(y), float(np.median(sampling))),
            medians=medians,
        )
        # Noise at the errors expected, not at those observed: a lucky trial is not a precise one.
        covariance = data.covariances(medians[None])[0]
        noise = data.floor + medians[-1] ** 2
        smooth = data.y - noise * np.linalg.solve(covariance, data.y)
        half = 0.5 / (self.samples + 1)
        expected = np.clip(scale.inverse(smooth + mean), half, 1 - half)
        data = GaussianData(
            y=data.y,
            terms=data.terms,
            constant=data.constant,
            floor=_sampling_variance(scale, expected, self.samples),
            medians=medians,
        )
        part = self._part()
        learnt = hyperparameter_draws(data.part(part))
        jacobian = float(np.log(scale.slope(errors[part])).sum())
        return _Fit(
            scale=scale,
            mean=mean,
            data=data,
            hyperparameters=learnt,
            log_evidence=learnt.log_evidence + jacobian,
        )

    def _part(self) -> NDArray[np.intp]:
        count = len(self.scores)
        if count <= _LARGE:
            return np.arange(count)
        return np.sort(np.random.default_rng(0).permutation(count)[:_LARGE])

    def _moments(
        self, deviations: Floats, inverse: Floats, to_trials: Floats, own: Floats, with_reference: Floats
    ) -> _Moments:
        squares = deviations[:-1] ** 2
        cross = np.tensordot(squares, to_trials, 1) + self._fit.data.constant
        prior, prior_with_reference = squares @ own, squares @ with_reference
        solved = cross @ inverse
        mean = solved @ self._fit.data.y
        variance = prior + self._fit.data.constant - np.einsum("qn,qn->q", solved, cross)
        with_base = prior_with_reference + self._fit.data.constant - cross @ solved[0]
        return _Moments(
            base=float(mean[0]),
            base_variance=max(float(variance[0]), 0.0),
            change=mean[1:] - mean[0],
            variance=np.maximum(variance[1:] + variance[0] - 2 * with_base[1:], 1e-18),
            base_covariance=with_base[1:] - variance[0],
        )

    def _drawn(self, moments: list[_Moments]) -> tuple[Floats, Floats]:
        """Draws of the change in accuracy (draws, Q) and of the reference's accuracy (draws,)."""
        generator = np.random.default_rng(0)
        quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / _DRAWS) for k in range(_DRAWS)])
        steps, bases, tests = (generator.permutation(quantiles)[:, None] for _ in range(3))
        counts = np.diff(np.round(np.cumsum([0, *self._times]) / self._times.sum() * _DRAWS).astype(int))
        change, base = [], []
        start = 0
        for each, count in zip(moments, counts, strict=True):
            z = slice(start, start + count)
            start += count
            deviation = np.sqrt(each.variance)
            onto = each.base_covariance / deviation
            rest = np.sqrt(np.maximum(each.base_variance - onto**2, 0))
            step = each.change + deviation * steps[z]
            at = each.base + onto * steps[z] + rest * bases[z] + self._fit.mean
            before = self.scale.inverse(at)
            change.append(before - self.scale.inverse(at + step))
            base.append(
                1
                - self.scale.inverse(each.base + math.sqrt(each.base_variance) * bases[z, 0] + self._fit.mean)
            )
        changes = np.concatenate(change)
        # Who is answered wrongly differs from split to split: a change that k samples show is k give or take
        # a root of k, however often it is measured on the same samples.
        size = np.abs(changes)
        changes = changes + tests * np.sqrt(size * (1 - np.minimum(size, 1)) / self.samples)
        return changes, np.concatenate(base)

    def _repeats(
        self,
        moments: list[_Moments],
        quantiles: tuple[Floats, Floats, Floats],
        accuracy: float,
        tolerance: float,
    ) -> NDArray[np.int64]:
        low, median, high = quantiles
        weights = self._times / self._times.sum()
        margin = np.abs(median + tolerance)
        half = np.where(median > -tolerance, median - low, high - median)
        split = 1.96 * np.sqrt(np.abs(median) / self.samples)
        own = np.maximum(half**2 - split**2, 0)
        noise = (self.noise(accuracy) * float(self.scale.slope(np.array(max(1 - accuracy, 1e-3))))) ** 2
        answer = np.where((low > -tolerance) | (high < -tolerance), 0, -1)
        before = np.sum([w * m.variance for w, m in zip(weights, moments, strict=True)], axis=0)
        for count in reversed(_REPEATS):
            left = np.zeros(len(median))
            for weight, each in zip(weights, moments, strict=True):
                covariance = each.variance + each.base_covariance  # of the change and the changed policy
                total = each.variance + each.base_variance + 2 * each.base_covariance
                left += weight * (each.variance - covariance**2 / (total + noise / count))
            enough = np.sqrt(own * left / before + split**2) <= margin
            answer = np.where((answer != 0) & enough, count, answer)
        return answer.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    scale: ScoreScale
    mean: float
    data: GaussianData
    hyperparameters: Hyperparameters
    log_evidence: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moments:
    """On the scale of the fit: the reference, and the change to each of Q policies."""

    base: float
    base_variance: float
    change: Floats
    variance: Floats
    base_covariance: Floats


def _sampling_variance(scale: ScoreScale, errors: Floats, samples: int) -> Floats:
    """Variance of T(error) from drawing the samples: T'(e)^2 e (1 - e) / n."""
    variance: Floats = scale.slope(errors) ** 2 * errors * (1 - errors) / samples
    return variance
