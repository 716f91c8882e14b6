"""The policy that is expected to add most to the front, by what the trials so far tell."""

from __future__ import annotations

import functools
import math
from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.partial_fronts import first_non_dominated
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.accuracy_surrogate import AccuracySurrogate, learn_surrogate
from mpsearch.search.candidates import candidates
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_cost_improvement import KnownCostImprovement
from mpsearch.search.known_policies import Codes
from mpsearch.search.learnt_scale import LearntScale, learnt_scale
from mpsearch.search.observations import Observations
from mpsearch.search.policy_features import PolicyFeatures
from mpsearch.search.policy_kernels import DAMAGE
from mpsearch.search.proxy import Proxy
from mpsearch.search.random_policies import Policy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FAR = 4.0  # deviations below its mean that no loss is looked for
_HOPES = (1.0, 3.0, 10.0)  # factors on deviations, until a policy is expected to gain anything


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPolicy:
    """`gain`: what the policy is expected to add to the hypervolume, in the objectives' units.

    `luck`: the mean of what the policies of the front would add if each were trained again and scored better
    by one deviation of the noise; 0 where no policy is expected to be good enough. Where `gain` is below it,
    further trials tell more of luck than of policies: those of the front had better be trained again, with
    other seeds.
    """

    policy: Policy
    gain: float
    luck: float


def next_policy(
    knowledge: Knowledge,
    observations: Observations,
    running: Codes,
    seen: Set[Policy],
    generator: np.random.Generator,
) -> NextPolicy | None:
    """None where no candidate is left. Running policies (R, C) are taken to score as expected."""
    policies = knowledge.policies
    scale = learnt_scale(observations.scores, is_maximized=policies.is_maximized)
    learnt = learn_surrogate(_features(knowledge), scale, observations, samples=knowledge.samples)
    surrogate = learnt.with_expected(running)
    begun = np.unique(np.concatenate([observations.codes, running]), axis=0)
    tried = _Points.of(knowledge, surrogate, scale, begun[policies.feasible(begun)])
    front = tried.codes[tried.front()]
    parents = front if len(front) else begun
    found = candidates(
        policies,
        assumed_proxy(knowledge),
        surrogate=surrogate,
        front=parents,
        seen=seen,
        generator=generator,
    )
    if not len(found):
        return None
    untried = _Points.of(knowledge, surrogate, scale, found)
    improvement = _improvement(knowledge, tried, untried, scale)
    for hope in _HOPES:
        gains = improvement.expected(untried.costs, untried.latent, hope * untried.moves)
        if gains.max() > 0:
            break
    best = int(gains.argmax()) if gains.max() > 0 else int(untried.latent.argmin())
    return NextPolicy(
        policy=tuple(found[best].tolist()),
        gain=float(gains[best]) if hope == _HOPES[0] else 0.0,  # what is hoped for is not expected
        luck=_luck(knowledge, tried, untried, scale, surrogate.noise),
    )


@functools.lru_cache(maxsize=4)  # fronts are kept by proxy
def assumed_proxy(knowledge: Knowledge) -> Proxy:
    """The proxy; where there is none, few bits are taken to lose as much in each choice."""
    if knowledge.proxy is not None:
        return knowledge.proxy
    damage = np.array([DAMAGE[name] for name in SCHEMES])
    losses = tuple(
        np.zeros(size) if places is None else damage[places]
        for size, places in zip(knowledge.policies.sizes.tolist(), knowledge.policies.places, strict=True)
    )
    return Proxy(losses=losses, method="bits")


@functools.lru_cache(maxsize=4)  # samplers are made anew for each ask
def _features(knowledge: Knowledge) -> PolicyFeatures:
    return PolicyFeatures(knowledge)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """Policies as points of the objectives, by what is believed of their losses.

    `moves`: how far a score is expected to move what is believed, a deviation on the scale.

    Shape: codes (P, C); latent, moves and losses (P,); costs (P, K) of the objectives.
    """

    codes: Codes
    latent: Floats
    moves: Floats
    losses: Floats
    costs: Floats
    is_learnt: bool
    most_loss: float

    @classmethod
    def of(
        cls, knowledge: Knowledge, surrogate: AccuracySurrogate, scale: LearntScale, codes: Codes
    ) -> _Points:
        policies = knowledge.policies
        belief = surrogate.posterior(codes)
        columns = [column for column in policies.objectives if column is not None]
        least = policies.least_score
        losses = scale.inverse(belief.mean)
        noise = surrogate.noise**2 + scale.sampling_variance(losses, knowledge.samples)
        return cls(
            codes=codes,
            latent=belief.mean,
            moves=belief.moves(noise),
            losses=losses,
            costs=policies.evaluate(codes)[:, columns],
            is_learnt=None in policies.objectives,
            most_loss=math.inf if least is None else float(scale.losses(np.array([least]))[0]),
        )

    def rows(self, places: Integers) -> _Points:
        return replace(
            self,
            codes=self.codes[places],
            latent=self.latent[places],
            moves=self.moves[places],
            losses=self.losses[places],
            costs=self.costs[places],
        )

    def luckier(self, noise: float, scale: LearntScale) -> _Points:
        """With scores better by that much on the scale."""
        return replace(self, losses=scale.inverse(self.latent - noise))

    def points(self) -> Floats:
        """Shape: (P, M), minimised."""
        return np.column_stack((self.losses, self.costs)) if self.is_learnt else self.costs

    def front(self) -> Integers:
        """Places of those that are expected to be good enough and that no other beats."""
        enough = np.flatnonzero(self.losses <= self.most_loss)
        kept = first_non_dominated(self.points()[enough], np.zeros(len(enough), dtype=np.int64))
        return enough[kept]


def _luck(knowledge: Knowledge, tried: _Points, untried: _Points, scale: LearntScale, noise: float) -> float:
    """See `NextPolicy`."""
    lucky = tried.rows(tried.front()).luckier(noise, scale)
    if not len(lucky.codes):
        return 0.0
    improvement = _improvement(knowledge, tried, untried, scale, least_loss=float(lucky.losses.min()))
    return float(improvement.gains(lucky.costs, lucky.losses).mean())


def _improvement(
    knowledge: Knowledge,
    tried: _Points,
    untried: _Points,
    scale: LearntScale,
    *,
    least_loss: float = math.inf,
) -> KnownCostImprovement:
    """Over the front of those tried, measured from the worst that any policy costs or is expected to score.

    It tells losses apart down to what untried policies may reach, and to `least_loss`.

    That box is the one that hypervolumes are shares of. Measured from near the front instead, a search goes
    after the last cheap policies, and leaves those of the best scores for long.
    """
    points = tried.points()[tried.front()]
    expected = np.concatenate([points, untried.points()])
    low, reference = expected.min(axis=0), expected.max(axis=0)
    columns = [column for column in knowledge.policies.objectives if column is not None]
    greatest = np.minimum(knowledge.policies.greatest, knowledge.policies.bounds)[columns]
    reference[len(low) - len(columns) :] = np.maximum(reference[len(low) - len(columns) :], greatest)
    if len(low) == 1 and len(points):
        reference = points.min(axis=0)
    if tried.is_learnt:
        hoped = float(scale.inverse(untried.latent - _FAR * untried.moves).min())
        low[0] = min(hoped, least_loss)
    # Where all share a cost, each must still be better than the reference in it.
    reference = np.where(reference > low, reference, low + np.maximum(np.abs(low), 1.0))
    return KnownCostImprovement(
        points,
        ideal=np.minimum(low, points.min(axis=0)) if len(points) else low,
        reference=reference,
        scale=scale,
        samples=knowledge.samples,
        is_learnt=tried.is_learnt,
        most_loss=tried.most_loss,
    )
