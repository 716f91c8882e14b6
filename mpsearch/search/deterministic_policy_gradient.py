"""An actor and a critic that learn actions from episodes: deep deterministic policy gradient."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.search.known_policies import Floats

_BATCH = 64
_HIDDEN = 64
_LAST_LAYER = 3e-3  # weights of the last layer begin within +- this
_ACTOR_RATE, _CRITIC_RATE = 1e-3, 1e-3
_TARGET_RATE = 0.01
_BASELINE_RATE = 0.5  # of the moving average of rewards


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transitions:
    """Steps of episodes; the last of each does not go on.

    Shape: states and following (N, S), actions and rewards (N,), `goes_on` (N,) of 0 or 1.
    """

    states: Floats
    actions: Floats
    rewards: Floats
    following: Floats
    goes_on: Floats


class ActorCritic:
    """Actions in 0 to 1, of an actor mu(s) that climbs a critic Q(s, a), both with slow copies.

    Critic: the least (Q(s, a) - r + b - Q'(s', mu'(s')))^2, undiscounted, where b is the moving average of
    rewards. Actor: the greatest Q(s, mu(s)). Copies: w' += 0.01 (w - w').

    Shape: states (N, S) -> actions (N,).
    Source: Lillicrap et al. 2015, arXiv:1509.02971; no discount and the average: Wang et al. 2019,
    arXiv:1811.08886.
    """

    def __init__(self, state_size: int, generator: np.random.Generator) -> None:
        self._generator = generator
        self._actor = _Network(state_size, generator)
        self._critic = _Network(state_size + 1, generator)
        self._slow_actor, self._slow_critic = self._actor.twin(), self._critic.twin()
        self._baseline: float | None = None

    def act(self, states: Floats) -> Floats:
        return _sigmoid(self._actor.forward(states))

    def learn(self, seen: Transitions, updates: int) -> None:
        """Update both so many times, each with a random batch."""
        for _ in range(updates):
            self._update(seen, self._generator.integers(len(seen.actions), size=_BATCH))

    def _update(self, seen: Transitions, rows: NDArray[np.int64]) -> None:
        states, rewards = seen.states[rows], seen.rewards[rows]
        mean = float(rewards.mean())
        self._baseline = (
            mean if self._baseline is None else self._baseline + _BASELINE_RATE * (mean - self._baseline)
        )
        following = seen.following[rows]
        then = self._slow_critic.forward(_with(following, _sigmoid(self._slow_actor.forward(following))))
        target = rewards - self._baseline + seen.goes_on[rows] * then
        error = self._critic.forward(_with(states, seen.actions[rows])) - target
        self._critic.backward(2 * error / _BATCH)
        self._critic.step(_CRITIC_RATE)
        actions = self.act(states)
        self._critic.forward(_with(states, actions))
        slopes = self._critic.backward(np.full(_BATCH, -1 / _BATCH))[:, -1]
        self._actor.backward(slopes * actions * (1 - actions))
        self._actor.step(_ACTOR_RATE)
        self._slow_actor.follow(self._actor)
        self._slow_critic.follow(self._critic)


class _Network:
    """Two hidden layers of ReLUs and one output, with Adam; small enough that numpy is faster than torch."""

    def __init__(self, inputs: int, generator: np.random.Generator) -> None:
        sizes = (inputs, _HIDDEN, _HIDDEN, 1)
        self._shapes = list(itertools.pairwise(sizes))
        self.weights = np.zeros(sum((before + 1) * after for before, after in self._shapes))
        self._gradient = np.zeros_like(self.weights)
        self._mean, self._square = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self._steps = 0
        self._layers, self._slopes = self._views(self.weights), self._views(self._gradient)
        self._inputs: list[Floats] = []
        for layer, widest in zip(self._layers, (inputs**-0.5, _HIDDEN**-0.5, _LAST_LAYER), strict=True):
            layer[:-1] = generator.uniform(-widest, widest, layer[:-1].shape)

    def twin(self) -> _Network:
        """Another one of the same weights."""
        twin = _Network(self._shapes[0][0], np.random.default_rng(0))
        twin.weights[:] = self.weights
        return twin

    def follow(self, other: _Network) -> None:
        self.weights += _TARGET_RATE * (other.weights - self.weights)

    def forward(self, x: Floats) -> Floats:
        """Shape: x (N, inputs) -> (N,)."""
        self._inputs = []
        for place, layer in enumerate(self._layers):
            if place:
                x = np.maximum(x, 0.0)
            self._inputs.append(x)
            x = x @ layer[:-1] + layer[-1]
        return x[:, 0]

    def backward(self, slopes: Floats) -> Floats:
        """Of a sum over the last outputs times `slopes`: the gradients of weights, kept, and of the inputs.

        Shape: slopes (N,) -> (N, inputs).
        """
        back = slopes[:, None]
        for place in reversed(range(len(self._layers))):
            x = self._inputs[place]
            self._slopes[place][:-1] = x.T @ back
            self._slopes[place][-1] = back.sum(axis=0)
            back = back @ self._layers[place][:-1].T
            if place:
                back *= x > 0
        return back

    def step(self, rate: float) -> None:
        """One step of Adam down the kept gradients."""
        self._steps += 1
        self._mean += 0.1 * (self._gradient - self._mean)
        self._square += 0.001 * (self._gradient**2 - self._square)
        corrected = rate * (1 - 0.999**self._steps) ** 0.5 / (1 - 0.9**self._steps)
        self.weights -= corrected * self._mean / (np.sqrt(self._square) + 1e-8)

    def _views(self, flat: Floats) -> list[Floats]:
        """A matrix a layer, its last row the bias."""
        ends = np.cumsum([(before + 1) * after for before, after in self._shapes])[:-1]
        parts = np.split(flat, ends)
        return [part.reshape(-1, after) for part, (_, after) in zip(parts, self._shapes, strict=True)]


def _with(states: Floats, actions: Floats) -> Floats:
    return np.column_stack((states, actions))


def _sigmoid(x: Floats) -> Floats:
    positive: Floats = 0.5 * (1 + np.tanh(x / 2))
    return positive
