"""What a training is worth: of a new policy, of one that waits at a lower fidelity, of another seed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.dominance import non_dominated
from mpsearch.search.accuracy_surrogate import AccuracySurrogate, Posterior, learn_surrogate
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_cost_improvement import KnownCostImprovement
from mpsearch.search.learnt_scale import LearntScale, learnt_scale
from mpsearch.search.objective_box import Box
from mpsearch.search.observations import Observations
from mpsearch.search.policy_features import PolicyFeatures

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_SHORTLIST = 5  # policies whose further seed is looked at exactly: the most contested
_FAR = 40.0  # deviations that no score goes
_LOWEST = 6.0  # deviations below its mean that a score hardly ever comes to
_CERTAIN = 1e-6  # of a latent deviation: the gain of a score that is known


class Prospects:
    """A training is worth what it is expected to add to the hypervolume, given what is known.

    A score of a policy whose latent score is believed to be N(m, s²) moves the mean of that belief by
    N(0, d²), d² = s⁴ / (s² + v), v the noise of a score. With H(f) the hypervolume that a mean f adds to the
    front of the other policies, and z normal:

    worth of a policy without a score in full  E[H(m + d z)]
    worth of another seed                      E[H(m + d z)] - H(m), at least 0, for H is convex

    Another seed is worth much where policies of like costs are nearly as good as each other, and nothing
    where no score would change which of them is on the front. Beliefs of all policies are those of the
    surrogate, fronts are made of their means: a lucky score is not believed as it is.

    `observations`: of trials, complete ones and estimates; those of variance 0 make the front. Policies that
    are `running` (R, C) are taken to score as expected.

    Source: Frazier, Powell and Dayanik 2009, 10.1287/ijoc.1080.0314 (the knowledge gradient).
    """

    def __init__(
        self,
        knowledge: Knowledge,
        observations: Observations,
        box: Box,
        *,
        running: Codes | None = None,
    ) -> None:
        self._policies = knowledge.policies
        self._samples = knowledge.samples
        self._box = box
        complete = observations.variances == 0
        self._scale = learnt_scale(observations.scores[complete], is_maximized=self._policies.is_maximized)
        self._surrogate = learn_surrogate(
            PolicyFeatures(knowledge), self._scale, observations, samples=self._samples
        )
        if running is not None and len(running):
            self._surrogate = self._surrogate.with_expected(running)
        self._trained = np.unique(observations.codes[complete], axis=0)
        belief = self._surrogate.posterior(self._trained)
        self._latent, self._moves = belief.mean, self._moves_of(belief)
        self._costs = self._costs_of(self._trained)
        self._points = np.column_stack((self._scale.inverse(self._latent), self._costs))
        self._is_feasible = self._policies.feasible(self._trained)

    @property
    def surrogate(self) -> AccuracySurrogate:
        return self._surrogate

    @property
    def scale(self) -> LearntScale:
        return self._scale

    def of_policies(self, codes: Codes) -> Floats:
        """Worth of a training in full of policies without a score in full. Shape: codes (P, C) -> (P,)."""
        if not len(codes):
            return np.zeros(0)
        belief = self._surrogate.posterior(codes)
        return self._expected(None, self._costs_of(codes), belief.mean, self._moves_of(belief))

    def of_seeds(self) -> tuple[Codes, Floats]:
        """The policies with a score whose further seed is worth most, best first, and its worth.

        Shape: (R, C), (R,), R at most 5.
        """
        moves = self._moves
        gap = np.minimum(np.abs(self._latent - self._best_alternatives()) / moves, _FAR)
        # E[max(0, move - gap)]: what it is worth a unit of cost, but for the bend of the scale.
        beyond = np.array([0.5 * math.erfc(deviations / math.sqrt(2)) for deviations in gap.tolist()])
        hope = moves * (np.exp(-0.5 * gap**2) / math.sqrt(2 * math.pi) - gap * beyond)
        hope[~self._is_feasible] = 0.0
        chosen = np.argsort(-hope, kind="stable")[:_SHORTLIST]
        worth = np.array(
            [
                self._worth_of_seed(place, float(moves[place])) if hope[place] > 0 else 0.0
                for place in chosen.tolist()
            ]
        )
        order = np.argsort(-worth, kind="stable")
        return self._trained[chosen[order]], worth[order]

    def _moves_of(self, belief: Posterior) -> Floats:
        """How far a score in full moves the means."""
        sampling = self._scale.sampling_variance(self._scale.inverse(belief.mean), self._samples)
        return belief.moves(self._surrogate.noise**2 + sampling)

    def _worth_of_seed(self, place: int, move: float) -> float:
        costs, mean = self._costs[[place, place]], self._latent[[place, place]]
        moved, known = self._expected(place, costs, mean, np.array([move, _CERTAIN]))
        return max(0.0, float(moved - known))

    def _costs_of(self, codes: Codes) -> Floats:
        columns = [column for column in self._policies.objectives if column is not None]
        shares: Floats = self._policies.evaluate(codes)[:, columns] / self._box.reference_costs
        return shares

    def _expected(self, but: int | None, costs: Floats, mean: Floats, moves: Floats) -> Floats:
        """What beliefs that move so add to the front of all policies with a score `but` one.

        Shape: costs (P, K); mean and moves (P,) -> (P,).
        """
        others = np.arange(len(self._points)) != (-1 if but is None else but)
        points = self._points[others & self._is_feasible]
        reference = np.concatenate(([self._box.reference_loss], np.ones(self._costs.shape[1])))
        # Losses are told apart in even steps of the scale: of a logarithm, none for what no score comes to.
        lowest = 0.0 if self._scale.is_share else float(self._scale.inverse(mean - _LOWEST * moves).min())
        ideal = np.concatenate(([lowest], np.zeros(self._costs.shape[1])))
        improvement = KnownCostImprovement(
            points[non_dominated(points)],
            ideal=ideal,
            reference=reference,
            scale=self._scale,
            samples=self._samples,
            is_learnt=True,
            most_loss=self._most_loss(),
        )
        return improvement.expected(costs, mean, moves)

    def _most_loss(self) -> float:
        least = self._policies.least_score
        return math.inf if least is None else float(self._scale.losses(np.array([least]))[0])

    def _best_alternatives(self) -> Floats:
        """For each policy with a score, the least latent loss of the others that cost no more in anything."""
        found = np.full(len(self._latent), np.inf)
        for place, costs in enumerate(self._costs):
            costs_no_more = (self._costs <= costs).all(axis=1) & self._is_feasible
            costs_no_more[place] = False
            found[place] = self._latent[costs_no_more].min(initial=np.inf)
        return found
