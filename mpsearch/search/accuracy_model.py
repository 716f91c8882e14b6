"""A regression of accuracy on the schemes of the choices, for few trials and many cells never seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.hyperparameters import GaussianData, Hyperparameters, hyperparameter_draws
from mpsearch.search.lasting_noise import lasting_part
from mpsearch.search.policy_kernels import PolicyKernels, deviation_medians, deviation_prior
from mpsearch.search.score_scale import PAIRED, SCALES, ScoreScale, smoothed_error

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

MOST_REPEATS = 55
_REPEATS = (1, 2, 3, 5, 8, 13, 21, 34, MOST_REPEATS)
_POINTS = 48  # pairs of a scale and deviations that the posterior is averaged over
_LARGE = 120  # trials from which on deviations are learnt from a part of the trials
_CUBE = 200  # trials from which on there are fewer points, since each takes the cube of their number
_LEAST_POINTS = 4
_DRAWS = 2400
_TAILS = (0.025, 0.5, 0.975)
_Z = 1.96
# Evidence assumes that one of the scales is right; none quite is. By this power a scale that explains the
# trials nearly as well stays in the mixture, and intervals hold the truth as often as they say.
_SCALE_POWER = 0.5
_CONSTANT = 9.0  # variance of the constant, in variances of the scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyChanges:
    """What to expect of Q policies in place of a reference policy; accuracies are shares of 1.

    `reference`: accuracy of the reference; `change` (Q,): effects on it, both medians. `low`, `high` (Q,):
    95% lies between them. `retrained_low`, `retrained_high` (Q,): likewise for the scores of both policies,
    trained again and scored on the same samples, seeds apart. `repeats` (Q,): how many more trials of
    different policies near the changed one would put low and high on one side of -tolerance, were the median
    right; 0 where they are there, -1 where `MOST_REPEATS` would not.
    """

    reference: float
    change: Floats
    low: Floats
    high: Floats
    retrained_low: Floats
    retrained_high: Floats
    repeats: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeftOut:
    """Each policy's accuracy as expected from the trials of all others (P,), and the mean of its own.

    In the order in which the policies were first given.
    """

    predicted: Floats
    measured: Floats


class AccuracyModel:
    """Posterior of accuracy over policies, given trials.

    T(error) = m + sum over choices of b[choice, scheme] + interactions + noise

    A Gaussian process whose kernel is a sum of the terms in `PolicyKernels`: effects of a scheme share a mean
    over the choices, those of a choice share its sensitivity, and each is expected to grow with what the
    scheme takes away; pairs of choices and the sum of all may interact. The scale T and the deviations of the
    terms and of the noise are averaged over, weighted by how well they explain the trials.

    Part of the noise is a policy's own: it comes again when that policy is trained again and scored on the
    same samples. Trials of many policies do not tell which part, further seeds do: it is averaged over, by
    `lasting_part`. It belongs to no layer: intervals of effects leave it out, those of a retraining hold it.

    Shape: ranks (N, C), places in `SCHEMES`; scores (N,), one of each training: several of one policy have a
    row each. `samples` is what one score is the mean of.
    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, chapters 2 and 5.
    """

    def __init__(self, ranks: Ranks, scores: Floats, *, samples: int) -> None:
        # All sums below run in an order that follows from the trials, not from when they ran.
        self._given = np.lexsort((scores, *ranks.T[::-1]))
        self.ranks, self.scores, self.samples = ranks[self._given], scores[self._given], samples
        self._policy_of = np.unique(self.ranks, axis=0, return_inverse=True)[1].ravel()
        same = self._policy_of[:, None] == self._policy_of
        self._repeated = np.nonzero(same & ~np.eye(len(same), dtype=bool))
        fits = self._fits()
        self._points = self._points_of(fits)
        self.scale = max(fits, key=lambda fit: fit.log_evidence).scale

    def changes(self, reference: Ranks, changed: Ranks, *, tolerance: float) -> AccuracyChanges:
        """Shape: reference (C,), changed (Q, C)."""
        queries = np.concatenate([reference[None], changed])
        among = PolicyKernels(queries, queries).terms()
        similarity = _Similarity(
            is_trial=(queries[:, None] == self.ranks[None]).all(2),
            to_trials=PolicyKernels(queries, self.ranks).terms(),
            own=np.diagonal(among, axis1=1, axis2=2),
            to_reference=among[:, 0],
        )
        effects = [_moments(point, similarity, own=0.0) for point in self._points]
        retrained = [_moments(point, similarity, own=point.lasting) for point in self._points]
        change, base = self._drawn(effects)
        low, median, high = np.quantile(self._on_other_samples(change), _TAILS, axis=0)
        again = np.quantile(self._drawn(retrained)[0], _TAILS, axis=0)
        return AccuracyChanges(
            reference=float(np.median(base)),
            change=median,
            low=low,
            high=high,
            retrained_low=again[0],
            retrained_high=again[2],
            repeats=self._repeats(effects, low, median, high, tolerance),
        )

    def left_out(self) -> LeftOut:
        """Leave-one-out predictions in closed form, scale and deviations as learnt from all trials.

        All trainings of a policy are left out together: another seed would all but tell its score.
        """
        of_policy = [np.flatnonzero(self._policy_of == place) for place in range(self._policy_of.max() + 1)]
        of_policy.sort(key=lambda rows: int(self._given[rows].min()))
        first = np.array([rows[0] for rows in of_policy])
        expected = np.zeros(len(of_policy))
        for point in self._points:
            y, inverse = point.fit.data.y, point.inverse
            solved = inverse @ y
            without = y - solved / np.diagonal(inverse)
            for rows in of_policy:
                if len(rows) > 1:
                    without[rows] = y[rows] - np.linalg.solve(inverse[np.ix_(rows, rows)], solved[rows])
            expected += point.share * (1 - point.fit.scale.inverse(without[first] + point.fit.mean))
        measured = np.array([self.scores[rows].mean() for rows in of_policy])
        return LeftOut(predicted=expected, measured=measured)

    def _fits(self) -> list[_Fit]:
        terms = PolicyKernels(self.ranks, self.ranks).terms()
        return [self._fit(scale, terms) for scale in SCALES]

    def _fit(self, scale: ScoreScale, terms: Floats) -> _Fit:
        errors = smoothed_error(self.scores, self.samples)
        y = scale.of_error(errors)
        mean = float(y.mean())
        sampling = _sampling_variance(scale, errors, self.samples)
        deviation = math.sqrt(max(float(y.var()), float(np.median(sampling))))
        medians = deviation_medians(self.ranks.shape[1]) * deviation
        data_with = partial(
            GaussianData,
            y=y - mean,
            terms=terms,
            constant=_CONSTANT * deviation**2,
            medians=medians,
            log_covariance=deviation_prior(),
        )
        # Noise at the errors expected, not at those observed: a lucky trial is not a precise one.
        rows = self._part()
        first = data_with(floor=np.full(len(y), float(np.median(sampling)))).part(rows)
        weights = np.linalg.solve(first.covariances(medians[None])[0], first.y)
        to_part = np.tensordot(medians[:-1] ** 2, terms[:, :, rows], 1) + first.constant
        expected = _clipped(scale.inverse(to_part @ weights + mean), self.samples)
        data = data_with(floor=_sampling_variance(scale, expected, self.samples))

        learnt = hyperparameter_draws(data.part(rows))
        jacobian = float(np.log(scale.slope(errors[rows])).sum())
        return _Fit(
            scale=scale,
            mean=mean,
            samples=self.samples,
            data=data,
            hyperparameters=learnt,
            log_evidence=learnt.log_evidence + jacobian,
        )

    def _part(self) -> NDArray[np.intp]:
        count = len(self.scores)
        if count <= _LARGE:
            return np.arange(count)
        return np.sort(np.random.default_rng(0).permutation(count)[:_LARGE])

    def _points_of(self, fits: Sequence[_Fit]) -> list[_Point]:
        """The mixture: scales in proportion to their evidence, deviations within each likewise."""
        evidence = np.array([fit.log_evidence for fit in fits])
        shares = np.exp(_SCALE_POWER * (evidence - evidence.max()))
        shares /= shares.sum()
        count = int(np.clip(_POINTS * (_CUBE / len(self.scores)) ** 3, _LEAST_POINTS, _POINTS))
        points: list[tuple[_Fit, Floats, float]] = []
        for fit, share in zip(fits, shares, strict=True):
            own = round(share * count)
            if own:
                deviations, times = fit.hyperparameters.resampled(own)
                for row, taken in zip(deviations, times, strict=True):
                    points.append((fit, row, float(taken)))
        quantiles = np.random.default_rng(0).permutation(np.arange(len(points)) + 0.5) / len(points)
        lasting = [
            self._lasting(fit, row, quantile)
            for (fit, row, _), quantile in zip(points, quantiles.tolist(), strict=True)
        ]
        most = max(evidence for _, evidence in lasting)
        weights = [
            share * math.exp(gained - most) for (*_, share), (_, gained) in zip(points, lasting, strict=True)
        ]
        return [
            self._point(fit, row, weight / sum(weights), part)
            for (fit, row, _), weight, (part, _) in zip(points, weights, lasting, strict=True)
        ]

    def _lasting(self, fit: _Fit, deviations: Floats, quantile: float) -> tuple[float, float]:
        """As `lasting_part`; of many trials, from those of the policies that deviations are learnt from."""
        rows = np.flatnonzero(np.isin(self._policy_of, self._policy_of[self._part()]))
        data = fit.data.part(rows)
        shared = np.zeros((len(self.scores),) * 2)
        root = np.sqrt(fit.data.floor + deviations[-1] ** 2)
        shared[self._repeated] = np.outer(root, root)[self._repeated]
        covariance = data.covariances(deviations[None])[0]
        return lasting_part(data.y, covariance, shared[np.ix_(rows, rows)], quantile)

    def _point(self, fit: _Fit, deviations: Floats, share: float, lasting: float) -> _Point:
        covariance = fit.data.covariances(deviations[None])[0]
        root = np.sqrt(lasting * (fit.data.floor + deviations[-1] ** 2))
        again = self._repeated
        covariance[again] += np.outer(root, root)[again]
        return _Point(
            fit=fit,
            deviations=deviations,
            inverse=np.linalg.inv(covariance),
            share=share,
            lasting=lasting,
        )

    def _drawn(self, moments: Sequence[_Moments]) -> tuple[Floats, Floats]:
        """Draws of the change in accuracy (draws, Q) and of the reference's accuracy (draws,)."""
        generator = np.random.default_rng(0)
        quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / _DRAWS) for k in range(_DRAWS)])
        steps, bases = (generator.permutation(quantiles)[:, None] for _ in range(2))
        ends = np.round(np.cumsum([m.point.share for m in moments]) * _DRAWS).astype(int)
        change, base = [], []
        for each, start, end in zip(moments, [0, *ends[:-1]], ends, strict=True):
            fit = each.point.fit
            deviation = np.sqrt(each.variance)
            onto = each.base_covariance / deviation
            rest = np.sqrt(np.maximum(each.base_variance - onto**2, 0))
            step = each.change + deviation * steps[start:end]
            at = fit.mean + each.base + onto * steps[start:end] + rest * bases[start:end]
            change.append(fit.scale.inverse(at) - fit.scale.inverse(at + step))
            alone = fit.mean + each.base + math.sqrt(each.base_variance) * bases[start:end, 0]
            base.append(1 - fit.scale.inverse(alone))
        return np.concatenate(change), np.concatenate(base)

    def _on_other_samples(self, changes: Floats) -> Floats:
        """With what other samples would show. Shape: (draws, Q).

        All trials were scored on the same samples, so more trials do not average their choice out: a change
        of k samples is k give or take the root of k on others.
        """
        quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / _DRAWS) for k in range(_DRAWS)])
        draws = np.random.default_rng(1).permutation(quantiles)[:, None]
        size = np.minimum(np.abs(changes), 1)
        varied: Floats = changes + draws * np.sqrt(size * (1 - size) / self.samples)
        return varied

    def _repeats(
        self, moments: Sequence[_Moments], low: Floats, median: Floats, high: Floats, tolerance: float
    ) -> NDArray[np.int64]:
        margin = np.abs(median + tolerance)
        half = np.where(median > -tolerance, median - low, high - median)
        size = np.minimum(np.abs(median), 1)
        staying = _Z**2 * size * (1 - size) / self.samples  # of the samples: trials do not lessen it
        shrinking = np.maximum(half**2 - staying, 0)
        before = np.sum([m.point.share * m.variance for m in moments], axis=0)
        answer = np.where((low > -tolerance) | (high < -tolerance), 0, -1)
        for count in reversed(_REPEATS):
            after = np.sum([m.point.share * m.variance_after(count) for m in moments], axis=0)
            enough = np.sqrt(shrinking * after / before + staying) < margin
            answer = np.where((answer != 0) & enough, count, answer)
        return answer.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    scale: ScoreScale
    mean: float
    samples: int
    data: GaussianData
    hyperparameters: Hyperparameters
    log_evidence: float

    def sampling_variance(self, errors: Floats) -> Floats:
        return _sampling_variance(self.scale, errors, self.samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Point:
    """One part of the mixture. Shape: deviations (J + 1,); inverse (N, N), of the trials' covariance.

    `lasting`: the part of the noise that a policy shows again when it is trained again.
    """

    fit: _Fit
    deviations: Floats
    inverse: Floats
    share: float
    lasting: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Similarity:
    """Terms of the kernel between Q policies, the reference first, and the trials (J, Q, N); of each policy
    with itself (J, Q) and with the reference (J, Q). `is_trial` (Q, N): which trials are of that policy.
    """

    is_trial: NDArray[np.bool_]

    to_trials: Floats
    own: Floats
    to_reference: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moments:
    """On the scale of the point's fit: the reference, and the change from it to each of Q policies."""

    point: _Point
    base: float
    base_variance: float
    change: Floats
    variance: Floats
    noise: Floats
    base_covariance: Floats

    def variance_after(self, trials: int) -> Floats:
        """Variance of the effects after so many more trials of different policies near the changed one."""
        with_changed = self.variance + self.base_covariance
        of_changed = self.variance + 2 * self.base_covariance + self.base_variance
        left: Floats = self.variance - with_changed**2 / (of_changed + self.noise / trials)
        return left


def _moments(point: _Point, similarity: _Similarity, *, own: float) -> _Moments:
    """`own`: the part of the noise that belongs to a policy and is asked for too."""
    fit, data, squares = point.fit, point.fit.data, point.deviations[:-1] ** 2
    of_trials = data.floor + point.deviations[-1] ** 2
    cross = np.tensordot(squares, similarity.to_trials, 1) + data.constant
    cross = cross + own * similarity.is_trial * of_trials
    solved = cross @ point.inverse
    mean = solved @ data.y
    expected = _clipped(fit.scale.inverse(mean + fit.mean), fit.samples)
    noise = fit.sampling_variance(expected) + point.deviations[-1] ** 2
    was_tried = similarity.is_trial.any(1)
    noise[was_tried] = of_trials[similarity.is_trial.argmax(1)[was_tried]]
    variance = squares @ similarity.own + data.constant - np.einsum("qn,qn->q", solved, cross) + own * noise
    with_base = squares @ similarity.to_reference + data.constant - cross @ solved[0]
    with_base[0] += own * noise[0]
    return _Moments(
        point=point,
        base=float(mean[0]),
        base_variance=max(float(variance[0]), 0.0),
        noise=noise[1:],
        change=mean[1:] - mean[0],
        variance=np.maximum(variance[1:] + variance[0] - 2 * with_base[1:], 1e-18),
        base_covariance=with_base[1:] - variance[0],
    )


def _sampling_variance(scale: ScoreScale, errors: Floats, samples: int) -> Floats:
    """Of T(error), from drawing the samples, as far as policies differ by it: r T'(e)^2 e (1 - e) / n."""
    variance: Floats = PAIRED * scale.slope(errors) ** 2 * errors * (1 - errors) / samples
    return variance


def _clipped(errors: Floats, samples: int) -> Floats:
    """No nearer to 0 and 1 than half a sample."""
    half = 0.5 / (samples + 1)
    return np.clip(errors, half, 1 - half)
