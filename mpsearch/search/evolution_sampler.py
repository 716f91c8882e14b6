"""Evolution against a predictor of the score that is fitted to the trials so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.crowding import crowding_distance
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import Codes, Floats
from mpsearch.search.policy_sampler import PolicySampler, ToldPolicies
from mpsearch.search.precision_order import PrecisionOrder
from mpsearch.search.proxy_starts import warm_start
from mpsearch.search.random_policies import Policy, first_unseen
from mpsearch.search.samplers import STARTUP_TRIALS
from mpsearch.search.score_predictor import ScorePredictor

_POPULATION = 100
_GENERATIONS = 10
_CROSSOVER = 0.9
MOST_FITTED = 300  # trials that the predictor is fitted to, the last ones


class EvolutionSampler(PolicySampler):
    """Genetic search with non-dominated sorting on predicted scores and known costs; its best is trained.

    For each ask the predictor is fitted to all trials, a population that begins with them and random
    policies evolves for some generations, and of the untried policies of the front that it has found the one
    is proposed that adds most hypervolume to that of the trials, all scores predicted. The first trials are
    those of `warm_start` where there is a proxy, else random ones.

    The published searches train or evaluate many policies in each iteration, and thousands in all; this one
    trains one, so that it knows all others by then.

    Source: Cai et al. 2020 (once for all), arXiv:1908.09791; Lu et al. 2020 (NSGANetV2), arXiv:2007.10396;
    Lee et al. 2025 (AMQ), arXiv:2509.12019; sorting: Deb et al. 2002, 10.1109/4235.996017.
    """

    def __init__(self, knowledge: Knowledge, *, seed: int) -> None:
        super().__init__(knowledge.policies, seed=seed)
        self._proxy = knowledge.proxy
        self._order = PrecisionOrder.of(self.policies)

    def propose(self, told: ToldPolicies) -> Policy | None:
        if len(told.seen) < STARTUP_TRIALS or not len(told.scores):
            if self._proxy is None:
                return None
            starts = warm_start(self.policies, self._proxy, STARTUP_TRIALS)
            return first_unseen(starts, told.seen)
        tried, scores = told.codes[-MOST_FITTED:], told.scores[-MOST_FITTED:]
        predictor = ScorePredictor(self._features(tried), scores)
        population = self._evolved(predictor, self._order.places_of(tried))
        codes = self._order.codes_at(population)
        wanted = [policy not in told.seen for policy in map(tuple, codes.tolist())]
        codes = codes[self.policies.feasible(codes) & np.array(wanted)]
        if not len(codes):
            return None
        points, excess = self._judged(codes, predictor)
        rank = ranks(points, excess)
        reached, missed = self._judged(tried, predictor)
        return tuple(codes[rank == 0][_largest_gain(points[rank == 0], reached[missed <= 0])].tolist())

    def _evolved(self, predictor: ScorePredictor, tried: Codes) -> Codes:
        """The last generation, as places; all differ. Shape: tried (N, C) -> (at most _POPULATION, C)."""
        sizes = self._order.sizes
        drawn = self.generator.integers(sizes, size=(_POPULATION, len(sizes)))
        population = self._survivors(np.concatenate((tried, drawn)), predictor)
        for _ in range(_GENERATIONS):
            # The survivors are in order: of two, the first wins their tournament.
            parents = self.generator.integers(len(population), size=(2, 2, _POPULATION)).min(axis=0)
            children = self._children(population[parents[0]], population[parents[1]])
            population = self._survivors(np.concatenate((population, children)), predictor)
        return population

    def _survivors(self, places: Codes, predictor: ScorePredictor) -> Codes:
        """The best first: by rank, then by how far apart they lie."""
        places = np.unique(places, axis=0)
        points, excess = self._judged(self._order.codes_at(places), predictor)
        rank = ranks(points, excess)
        crowding = np.zeros(len(rank))
        for level in range(int(rank.max()) + 1):
            crowding[rank == level] = crowding_distance(points[rank == level])
        return places[np.lexsort((-crowding, rank))[:_POPULATION]]

    def _children(self, mothers: Codes, fathers: Codes) -> Codes:
        """Uniform crossover, then each choice changes with probability 1 / C. Shape: all (P, C)."""
        random = self.generator.random
        is_crossed = random((len(mothers), 1)) < _CROSSOVER
        children = np.where(is_crossed & (random(mothers.shape) < 0.5), fathers, mothers)
        drawn = self.generator.integers(self._order.sizes, size=mothers.shape)
        return np.where(random(mothers.shape) < 1 / mothers.shape[1], drawn, children)

    def _judged(self, codes: Codes, predictor: ScorePredictor) -> tuple[Floats, Floats]:
        """Objectives to be minimised, the learnt one predicted; and by how much policies miss the budgets.

        Shape: codes (P, C) -> (P, M), (P,).
        """
        policies = self.policies
        costs, scores = policies.evaluate(codes), predictor.predict(self._features(codes))
        points = [-scores if column is None else costs[:, column] for column in policies.objectives]
        bounded = np.isfinite(policies.bounds)
        bounds = policies.bounds[bounded]
        excess = np.maximum((costs[:, bounded] - bounds) / np.where(bounds > 0, bounds, 1.0), 0.0).sum(axis=1)
        if policies.least_score is not None:
            least = policies.least_score if policies.is_maximized else -policies.least_score
            excess += np.maximum(least - scores, 0.0)
        return np.column_stack(points), excess

    def _features(self, codes: Codes) -> Floats:
        """Precisions from -1 to 1. Shape: (P, C) -> (P, C)."""
        return 2 * self._order.places_of(codes) / np.maximum(self._order.sizes - 1, 1) - 1.0


def ranks(points: Floats, excess: Floats) -> NDArray[np.int64]:
    """Front by front: 0 for those that none beats, 1 for those that only these beat, and so on.

    A point that misses budgets (`excess` > 0) is beaten by all that miss them by less.

    Shape: points (P, M), to be minimised, excess (P,) -> (P,).
    Source: constrained domination of Deb et al. 2002, 10.1109/4235.996017.
    """
    within = excess <= 0
    as_good = np.ones((len(points), len(points)), dtype=bool)
    for objective in points.T:
        as_good &= objective[:, None] <= objective[None]
    beats = (as_good & ~as_good.T & within[:, None] & within[None]) | (excess[:, None] < excess[None])
    rank = np.full(len(points), -1)
    level = 0
    while (rank < 0).any():
        left = rank < 0
        rank[left & ~beats[left].any(axis=0)] = level
        level += 1
    return rank


def _largest_gain(points: Floats, reached: Floats) -> int:
    """The row that adds most to the hypervolume of those that are reached, as shares of their range.

    Shape: points (P, M) and reached (N, M), to be minimised.
    """
    both = np.concatenate((points, reached))
    least, span = both.min(axis=0), np.ptp(both, axis=0)
    shares = (both - least) / np.where(span > 0, span, 1.0)
    reference = np.full(shares.shape[1], 1.1)
    front = shares[len(points) :]
    front = front[non_dominated(front)]
    gains = [hypervolume(np.vstack((front, point)), reference) for point in shares[: len(points)]]
    return int(np.argmax(gains))
