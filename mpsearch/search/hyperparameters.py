"""Deviations of a Gaussian process's terms, weighted by how well they explain the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDS = (160, 96, 96)
_DEFENSIVE = 0.2  # share of each later round that is drawn from the prior again
_LEAST_EFFECTIVE = 24.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianData:
    """y ~ N(0, sum_j d_j^2 terms_j + constant + diag(floor + d_noise^2)).

    Shape: y and floor (N,); terms (J, N, N). Deviations d (J + 1,), that of the noise last, have a log-normal
    prior with medians `medians` (J + 1,) and covariance `log_covariance` (J + 1, J + 1) of their logarithms.
    """

    y: Floats
    terms: Floats
    constant: float
    floor: Floats
    medians: Floats
    log_covariance: Floats

    def part(self, rows: NDArray[np.intp]) -> GaussianData:
        """The same for some of the values."""
        return GaussianData(
            y=self.y[rows],
            terms=self.terms[:, rows[:, None], rows],
            constant=self.constant,
            floor=self.floor[rows],
            medians=self.medians,
            log_covariance=self.log_covariance,
        )

    def covariances(self, deviations: Floats) -> Floats:
        """Shape: deviations (B, J + 1) -> (B, N, N)."""
        count = len(self.y)
        flat = self.terms.reshape(len(self.terms), -1)
        full = (deviations[:, :-1] ** 2 @ flat).reshape(-1, count, count) + self.constant
        diagonal = np.arange(count)
        full[:, diagonal, diagonal] += self.floor + deviations[:, -1:] ** 2
        return full

    def log_evidence(self, deviations: Floats) -> Floats:
        """Logarithm of p(y | deviations). Shape: (B, J + 1) -> (B,)."""
        count = len(self.y)
        bordered = np.zeros((len(deviations), count + 1, count + 1))
        bordered[:, :count, :count] = self.covariances(deviations)
        # The last row of the factor is then L^-1 y; the corner only has to exceed y' K^-1 y.
        bordered[:, count, :count] = self.y
        bordered[:, count, count] = 1e6 + 2 * np.sum(self.y**2 / self.floor)
        factor = np.linalg.cholesky(bordered)
        whitened = factor[:, count, :count]
        log_determinant = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)[:, :count]).sum(1)
        result: Floats = -0.5 * ((whitened**2).sum(1) + log_determinant + count * np.log(2 * np.pi))
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hyperparameters:
    """Draws of the deviations (B, J + 1) and weights (B,) that sum to 1; `log_evidence`: log p(y)."""

    deviations: Floats
    weights: Floats
    log_evidence: float

    def resampled(self, count: int) -> tuple[Floats, NDArray[np.int64]]:
        """Up to `count` different draws, and how often each is taken; systematic, so the same every time."""
        places = np.searchsorted(np.cumsum(self.weights), (np.arange(count) + 0.5) / count)
        kept, times = np.unique(np.minimum(places, len(self.weights) - 1), return_counts=True)
        return self.deviations[kept], times


def hyperparameter_draws(data: GaussianData) -> Hyperparameters:
    """Adaptive importance sampling of p(deviations | y): draw from the prior, fit a normal, draw from it.

    All draws of all rounds count, each with the mixture of the distributions that it may come from.

    Source: Cornuet et al. 2012, arXiv:0907.1254 (AMIS).
    """
    size = len(data.medians)
    generator = np.random.default_rng(0)
    prior = _Normal(np.zeros(size), data.log_covariance)
    proposals = [prior]
    counts = []
    drawn = np.zeros((0, size))
    evidence = np.zeros(0)
    for count in _ROUNDS:
        fresh = proposals[-1].draw(generator, count)
        if len(proposals) > 1:
            again = round(_DEFENSIVE * count)
            fresh[:again] = prior.draw(generator, again)
        counts.append(count)
        drawn = np.concatenate([drawn, fresh])
        evidence = np.concatenate([evidence, data.log_evidence(data.medians * np.exp(fresh))])
        mixture = _mixture_log_density(drawn, prior, proposals, counts)
        log_weights = evidence + prior.log_density(drawn) - mixture
        proposals.append(_fitted(drawn, _tempered(log_weights), prior))
    top = log_weights.max()
    weights = np.exp(log_weights - top)
    return Hyperparameters(
        deviations=data.medians * np.exp(drawn),
        weights=weights / weights.sum(),
        log_evidence=float(top + np.log(weights.mean())),
    )


class _Normal:
    def __init__(self, mean: Floats, covariance: Floats) -> None:
        self.mean = mean
        self.factor = np.linalg.cholesky(covariance)

    def draw(self, generator: np.random.Generator, count: int) -> Floats:
        drawn: Floats = self.mean + generator.standard_normal((count, len(self.mean))) @ self.factor.T
        return drawn

    def log_density(self, x: Floats) -> Floats:
        whitened = np.linalg.solve(self.factor, (x - self.mean).T)
        log_determinant = np.log(np.diagonal(self.factor)).sum()
        density: Floats = -0.5 * ((whitened**2).sum(0) + len(self.mean) * np.log(2 * np.pi)) - log_determinant
        return density


def _mixture_log_density(x: Floats, prior: _Normal, proposals: list[_Normal], counts: list[int]) -> Floats:
    """Of what all rounds so far drew from, in proportion to their draws."""
    parts = []
    own = prior.log_density(x)
    for place, (proposal, count) in enumerate(zip(proposals, counts, strict=False)):
        if place == 0:
            parts.append(np.log(count) + own)
        else:
            parts.append(np.log(count * _DEFENSIVE) + own)
            parts.append(np.log(count * (1 - _DEFENSIVE)) + proposal.log_density(x))
    stacked = np.stack(parts) - np.log(sum(counts))
    top = stacked.max(0)
    density: Floats = top + np.log(np.exp(stacked - top).sum(0))
    return density


def _tempered(log_weights: Floats) -> Floats:
    """Weights that sum to 1, flattened until a few draws share them: one draw fits no normal."""
    for power in (1.0, 0.5, 0.25, 0.1, 0.05):
        weights: Floats = np.exp(power * (log_weights - log_weights.max()))
        weights /= weights.sum()
        if 1 / np.sum(weights**2) >= _LEAST_EFFECTIVE:
            break
    return weights


def _fitted(x: Floats, weights: Floats, prior: _Normal) -> _Normal:
    mean = weights @ x
    covariance = (weights[:, None] * (x - mean)).T @ (x - mean)
    return _Normal(mean, 1.3 * covariance + 0.02 * prior.factor @ prior.factor.T)
