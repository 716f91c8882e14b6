"""Reinforcement learning: an agent picks precisions layer by layer, scores reward it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mpsearch.search.deterministic_policy_gradient import ActorCritic, Transitions
from mpsearch.search.known_policies import Codes, Floats, KnownPolicies
from mpsearch.search.policy_sampler import PolicySampler, ToldPolicies
from mpsearch.search.precision_order import PrecisionOrder
from mpsearch.search.proxy_starts import columns_that_matter
from mpsearch.search.random_policies import Policy

_WARM_UP = 20  # episodes of random actions
_EPISODES = 128  # the last ones, that the replay holds
_MOST_UPDATES = 1000
_NOISE, _DECAY = 0.5, 0.99
_TRIES = 20  # episodes for one that no trial has


class HaqSampler(PolicySampler):
    """An actor walks over the choices; what it picks is lowered until it meets the budget, then trained.

    Action a in 0 to 1 -> the precision of place floor(a * size) among those of the choice. State: what is
    known of the choice, the budget, and the action before. From the 21st trial on actions come from the
    actor, with truncated normal noise of 0.5 * 0.99^episode. If the policy is over the budget, one choice
    after another, from the last to the first, is lowered by a step, again and again. The reward of all steps
    is the score.

    Differences from the paper. It searches for one budget; here each trial draws one, between the cheapest
    and the most precise policy, and the actor sees it. Scores are rewarded in their standard deviations,
    not in tenths of a percent. The layer's dimensions are replaced by what lowering it saves of each cost.
    The agent is trained anew on the replay for each ask, so that a search that was killed goes on as if it
    had not been: with one update a choice and trial as in the paper, but no more than 1,000, layers of 64
    rather than 300, and a rate of 1e-3 for the actor rather than 1e-4.

    Source: Wang et al. 2019, arXiv:1811.08886.
    """

    def __init__(self, policies: KnownPolicies, *, seed: int) -> None:
        super().__init__(policies, seed=seed)
        self._order = PrecisionOrder.of(policies)
        self._sizes = self._order.sizes
        self._columns = columns_that_matter(policies)
        highest = self._sizes - 1
        ends = policies.evaluate(self._order.codes_at(np.stack((np.zeros_like(highest), highest))))
        ends = ends[:, self._columns]
        self._least = ends.min(axis=0)
        self._span = np.minimum(ends.max(axis=0), policies.bounds[self._columns]) - self._least
        self._draws_budgets = any(column is not None for column in policies.objectives)

    def propose(self, told: ToldPolicies) -> Policy | None:
        agent = None if len(told.scores) < _WARM_UP else self._trained(told)
        noise = _NOISE * _DECAY ** (len(told.scores) - _WARM_UP)
        for _ in range(_TRIES):
            budget = float(self.generator.random()) if self._draws_budgets else 1.0
            places = self._lowered(self._episode(agent, budget, noise), budget)
            if places is not None:
                policy = tuple(self._order.codes_at(places).tolist())
                if policy not in told.seen:
                    return policy
        return None

    def _episode(self, agent: ActorCritic | None, budget: float, noise: float) -> Codes:
        """Places (C,) that the actor picks, or at random where there is none."""
        if agent is None:
            return self.generator.integers(self._sizes)
        places = np.zeros_like(self._sizes)
        before = 1.0
        for choice, size in enumerate(self._sizes.tolist()):
            mean = float(agent.act(self._state(choice, budget, before)[None])[0])
            action = _truncated_normal(mean, noise, self.generator)
            places[choice] = min(int(action * size), size - 1)
            before = (places[choice] + 0.5) / size
        return places

    def _lowered(self, places: Codes, budget: float) -> Codes | None:
        """Made to meet the budget and the bounds; None where lowering does not lead there."""
        limits = self.policies.bounds.copy()
        limits[self._columns] = np.minimum(limits[self._columns], self._least + budget * self._span)
        places = places.copy()
        while not self._meets(places, limits):
            if not places.any():
                return None
            for choice in reversed(np.flatnonzero(places).tolist()):
                places[choice] -= 1
                if self._meets(places, limits):
                    break
        return places

    def _meets(self, places: Codes, limits: Floats) -> bool:
        return bool((self.policies.evaluate(self._order.codes_at(places[None]))[0] <= limits).all())

    def _trained(self, told: ToldPolicies) -> ActorCritic:
        codes, scores = told.codes[-_EPISODES:], told.scores[-_EPISODES:]
        spread = float(scores.std())
        rewards = (scores - scores.mean()) / (spread if spread > 0 else 1.0)
        # Of a choice's actions that pick the same, the middle.
        actions = (self._order.places_of(codes) + 0.5) / self._sizes
        before = np.concatenate((np.ones((len(codes), 1)), actions[:, :-1]), axis=1)
        states = np.concatenate(
            (
                np.broadcast_to(self._known, (len(codes), *self._known.shape)),
                np.broadcast_to(self._budgets_of(codes)[:, None, None], (*actions.shape, 1)),
                before[..., None],
            ),
            axis=2,
        )
        following = np.concatenate((states[:, 1:], states[:, -1:]), axis=1)
        choices, width = states.shape[1:]
        seen = Transitions(
            states=states.reshape(-1, width),
            actions=actions.ravel(),
            rewards=np.repeat(rewards, choices),
            following=following.reshape(-1, width),
            goes_on=np.tile(np.arange(choices) < choices - 1, len(codes)).astype(float),
        )
        agent = ActorCritic(width, self.generator)
        agent.learn(seen, min(choices * (len(told.scores) - _WARM_UP + 1), _MOST_UPDATES))
        return agent

    def _budgets_of(self, codes: Codes) -> Floats:
        """The tightest budgets that policies meet, which stand for the ones they were made for. -> (N,)."""
        if not self._draws_budgets:
            return np.ones(len(codes))
        costs = self.policies.evaluate(codes)[:, self._columns]
        shares = (costs - self._least) / np.where(self._span > 0, self._span, 1.0)
        tightest: Floats = np.clip(shares.max(axis=1), 0.0, 1.0)
        return tightest

    def _state(self, choice: int, budget: float, before: float) -> Floats:
        return np.array([*self._known[choice], budget, before])

    @cached_property
    def _known(self) -> Floats:
        """Place, size, whether it is a width, what lowering it saves; from 0 to 1 over all choices (C, F)."""
        highest = self._sizes - 1
        lowered = np.where(np.eye(len(highest), dtype=bool), 0, highest)
        costs = self.policies.evaluate(self._order.codes_at(np.concatenate((highest[None], lowered))))
        is_width = [places is None for places in self.policies.places]
        known = np.column_stack((np.arange(len(highest)), self._sizes, is_width, costs[0] - costs[1:]))
        span = np.ptp(known, axis=0)
        shares: Floats = (known - known.min(axis=0)) / np.where(span > 0, span, 1.0)
        return shares


def _truncated_normal(mean: float, deviation: float, generator: np.random.Generator) -> float:
    """Normal, drawn again until it lies in 0 to 1."""
    while True:
        drawn = float(generator.normal(mean, deviation))
        if 0 <= drawn <= 1:
            return drawn
