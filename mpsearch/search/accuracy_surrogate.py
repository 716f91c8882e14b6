"""What score to expect of policies that were not trained: fast, for asking after each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.hyperparameters import GaussianData, hyperparameter_draws
from mpsearch.search.learnt_scale import LearntScale
from mpsearch.search.observations import Observations
from mpsearch.search.policy_features import PolicyFeatures

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_LEARNT_FROM = 48  # trials that deviations are learnt from
_CONSTANT = 9.0  # variance of the constant, in variances of the scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """Normal, on the scale of the surrogate. Shape: mean and deviation (P,)."""

    mean: Floats
    deviation: Floats

    def moves(self, noise: Floats) -> Floats:
        """How far a score moves the mean, a deviation: d² / sqrt(d² + noise), `noise` (P,) its variance."""
        moved: Floats = self.deviation**2 / np.sqrt(self.deviation**2 + noise)
        return moved


class AccuracySurrogate:
    """Gaussian process of T(loss) over policies; T is the log of the odds of an error for an accuracy.

    T(x) = m + linear in the one-hot code + curvature + proxy terms + residual + noise

    The terms are those of `PolicyFeatures`: all but the residual make a Bayesian linear model.

    Shape: codes (N, C); latent (N,), the trials on the scale; floor (N,), the least variance of their noise;
    deviations (J + 1,), that of the noise last.
    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, chapter 2.
    """

    def __init__(
        self,
        features: PolicyFeatures,
        *,
        codes: Codes,
        latent: Floats,
        floor: Floats,
        center: float,
        constant: float,
        deviations: Floats,
    ) -> None:
        self._features, self._codes, self._latent, self._floor = features, codes, latent, floor
        self._center, self._constant = center, constant
        self._all_deviations = deviations
        self._deviations, self.noise = deviations[:-1], float(deviations[-1])
        self._linear = features.linear_features(codes, self._deviations)
        covariance = self._covariance(codes, self._linear)
        covariance[np.diag_indices(len(covariance))] += floor + self.noise**2
        self._inverse_factor = np.linalg.inv(np.linalg.cholesky(covariance))
        self._weights = self._solved(latent - center)

    def posterior(self, codes: Codes) -> Posterior:
        """Of the score without its noise. Shape: codes (P, C)."""
        linear = self._features.linear_features(codes, self._deviations)
        cross = self._covariance(codes, linear)
        prior = np.einsum("pf,pf->p", linear, linear) + self._deviations[-1] ** 2 + self._constant
        variance = prior - ((cross @ self._inverse_factor.T) ** 2).sum(axis=1)
        return Posterior(
            mean=cross @ self._weights + self._center,
            deviation=np.sqrt(np.maximum(variance, 1e-6 * prior)),
        )

    def with_expected(self, codes: Codes) -> AccuracySurrogate:
        """As if these policies had been trained and had scored as expected."""
        if not len(codes):
            return self
        return AccuracySurrogate(
            self._features,
            codes=np.concatenate([self._codes, codes]),
            latent=np.concatenate([self._latent, self.posterior(codes).mean]),
            floor=np.concatenate([self._floor, np.full(len(codes), float(np.median(self._floor)))]),
            center=self._center,
            constant=self._constant,
            deviations=self._all_deviations,
        )

    def additive(self, at: Codes) -> tuple[Floats, ...]:
        """What each code of each choice adds to the mean near each of some policies: see `cell_effects`.

        Shape: at (A, C) -> for each choice (A, its size), 0 at least.
        """
        weights = self._linear.T @ self._weights
        return _from_zero(self._features.cell_effects(weights, self._deviations, at))

    def sampled(self, at: Codes, generator: np.random.Generator) -> tuple[Floats, ...]:
        """As `additive`, of one draw from the posterior for each of the policies.

        Source: Matheron's rule, as in Wilson et al. 2020, arXiv:2002.09309.
        """
        rest = np.sqrt(self._floor + self.noise**2 + self._deviations[-1] ** 2)
        drawn = []
        for row in at[:, None]:
            prior = generator.standard_normal(self._linear.shape[1])
            seen = self._linear @ prior + rest * generator.standard_normal(len(rest))
            weights = prior + self._linear.T @ self._solved(self._latent - self._center - seen)
            drawn.append(self._features.cell_effects(weights, self._deviations, row))
        return _from_zero(tuple(np.concatenate(of_choice) for of_choice in zip(*drawn, strict=True)))

    def _covariance(self, codes: Codes, linear: Floats) -> Floats:
        """With the trials, of policies whose linear features are at hand."""
        total: Floats = linear @ self._linear.T
        total += self._deviations[-1] ** 2 * self._features.similarity(codes, self._codes) + self._constant
        return total

    def _solved(self, y: Floats) -> Floats:
        solved: Floats = self._inverse_factor.T @ (self._inverse_factor @ y)
        return solved


def learn_surrogate(
    features: PolicyFeatures, scale: LearntScale, observations: Observations, *, samples: int
) -> AccuracySurrogate:
    """Deviations of terms and noise by marginal likelihood: a mean over draws of their logarithms.

    They have log-normal priors; the noise has a floor, what drawing the samples of a score varies. Of many
    trials the deviations are learnt from `_LEARNT_FROM`.

    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, chapter 5.
    """
    codes = observations.codes
    losses = scale.losses(observations.scores)
    latent = scale.latent(losses, samples)
    extra = observations.variances * scale.scale.slope(scale.clipped(losses, samples)) ** 2
    center = float(latent.mean())
    floor = scale.sampling_variance(losses, samples)
    deviation = math.sqrt(max(float(latent.var()), float(np.median(floor))))
    constant = _CONSTANT * deviation**2
    medians = _deviation_medians(codes.shape[1]) * deviation
    # Noise at the losses expected, not at those observed: a lucky trial is not a precise one.
    first = features.covariance(codes, codes, medians[:-1]) + constant
    noise = float(np.median(floor)) + medians[-1] ** 2 + extra
    expected = first @ np.linalg.solve(first + np.diag(noise), latent - center) + center
    floor = scale.sampling_variance(scale.inverse(expected), samples) + extra
    rows = np.unique(np.linspace(0, len(latent) - 1, min(len(latent), _LEARNT_FROM)).round().astype(int))
    learnt = hyperparameter_draws(
        GaussianData(
            y=latent[rows] - center,
            terms=features.terms(codes[rows], codes[rows]),
            constant=constant,
            floor=floor[rows],
            medians=medians,
            log_covariance=_deviation_prior(),
        )
    )
    return AccuracySurrogate(
        features,
        codes=codes,
        latent=latent,
        floor=floor,
        center=center,
        constant=constant,
        deviations=np.exp(learnt.weights @ np.log(learnt.deviations)),
    )


def _deviation_medians(choices: int) -> Floats:
    """What the deviations of the terms and of the noise are a priori, relative to that of the scores."""
    root = math.sqrt(choices)
    return np.array([1.5, 0.4, 1.0 / root, 1.2 / root, 1.5 / root, 0.3, 1.4, 0.6, 0.2])


def _deviation_prior() -> Floats:
    """Covariance (9, 9) of the logarithms; see `policy_kernels.deviation_prior`."""
    loading = np.diag([1.0, 0.7, 0.5, 0.6, 0.8, 1.0, 1.0, 0.8, 1.2])
    loading[[1, 2, 3], 0] = 1.0
    return loading @ loading.T


def _from_zero(effects: tuple[Floats, ...]) -> tuple[Floats, ...]:
    return tuple(of_choice - of_choice.min(axis=1, keepdims=True) for of_choice in effects)
