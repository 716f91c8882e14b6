"""Who is compared on tables: our sampler, Optuna's in several settings, methods of papers, and no search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from mpsearch.errors import ConfigError
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.nsga2_sampler import RestartableNsga2Sampler, join_generation
from mpsearch.search.proxy_front import exact_front
from mpsearch.search.proxy_starts import columns_that_matter, warm_start
from mpsearch.search.samplers import SAMPLERS, SamplerFactory
from mpsearch.search.study import quiet_optuna

Codes = NDArray[np.int64]
Policy = tuple[int, ...]

WARM_STARTS = 12
MAX_WASTED = 50  # proposals in a row that are not trained, before a random policy is taken
_ALL_TOLD = 100_000
_STARTUP = 10


class Asker(Protocol):
    """Proposes policies one by one, none that was told before; None where it has no more."""

    def ask(self) -> Policy | None: ...
    def tell(self, policy: Policy, score: float) -> None: ...
    @property
    def proposals(self) -> int:
        """How many were proposed so far, those that cost nothing included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """`make`: knowledge and seed -> who asks. One that `uses_proxy` is charged its seconds."""

    make: Callable[[Knowledge, int], Asker]
    uses_proxy: bool
    most_trials: int


class Listed:
    """Policies that were chosen before the first trial, in their order."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._left = iter(policies)
        self.proposals = 0

    def ask(self) -> Policy | None:
        self.proposals += 1
        return next(self._left, None)

    def tell(self, policy: Policy, score: float) -> None:
        """Changes nothing."""


class Sampled:
    """An Optuna sampler on a study in memory; `starts` are its first trials.

    What it proposes again is looked up and told again, and what costs more than a bound is refused: neither
    is a trial. Plain Optuna would train both. After `MAX_WASTED` such proposals in a row a random policy is
    taken. The first generation of NSGA-II takes the starts in.
    """

    def __init__(
        self, factory: SamplerFactory, knowledge: Knowledge, seed: int, starts: Iterable[Policy] = ()
    ) -> None:
        self._policies = knowledge.policies
        self._generator = np.random.default_rng([seed, 4])
        self._starts = iter(starts)
        self._scores: dict[Policy, float] = {}
        self._running = 0
        self.proposals = 0
        self._distributions: dict[str, BaseDistribution] = {
            name: IntDistribution(0, size - 1)
            for name, size in zip(self._policies.names, self._policies.sizes.tolist(), strict=True)
        }
        directions = ["minimize" if place is not None else "maximize" for place in self._policies.objectives]
        with quiet_optuna():
            self._study = optuna.create_study(directions=directions, sampler=factory(seed, knowledge))

    def ask(self) -> Policy | None:
        start = next(self._starts, None)
        if start is not None:
            self.proposals += 1
            return self._begin(start)
        if len(self._scores) == self._policies.policies:
            return None
        for _ in range(MAX_WASTED):
            self.proposals += 1
            trial = self._study.ask(self._distributions)
            self._running = trial.number
            policy = tuple(trial.params[name] for name in self._policies.names)
            violations = self._violations(policy)
            if violations:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._refuse(policy, violations)
            elif policy in self._scores:
                self._study.tell(trial.number, self._values(policy))
            else:
                return policy
        return self._random()

    def tell(self, policy: Policy, score: float) -> None:
        self._scores[policy] = score
        self._study.tell(self._running, self._values(policy))

    def _random(self) -> Policy | None:
        """One that is not told yet and within the bounds."""
        left = [policy for policy in _within(self._policies) if policy not in self._scores]
        return self._begin(left[self._generator.integers(len(left))]) if left else None

    def _begin(self, policy: Policy) -> Policy:
        self._study.enqueue_trial(dict(zip(self._policies.names, policy, strict=True)))
        self._running = self._study.ask(self._distributions).number
        join_generation(self._study, self._running)
        return policy

    def _violations(self, policy: Policy) -> dict[str, float]:
        """Cost -> by what share of its bound it is too high."""
        costs = self._policies.evaluate(np.array([policy]))[0]
        return {
            column: cost / bound - 1.0
            for column, cost, bound in zip(self._policies.columns, costs, self._policies.bounds, strict=True)
            if cost > bound
        }

    def _refuse(self, policy: Policy, violations: dict[str, float]) -> None:
        """Teach the sampler what costs too much, as a search does."""
        self._study.add_trial(
            create_trial(
                state=TrialState.PRUNED,
                params=dict(zip(self._policies.names, policy, strict=True)),
                distributions=self._distributions,
                constraints=violations,
            )
        )

    def _values(self, policy: Policy) -> list[float]:
        costs = self._policies.evaluate(np.array([policy]))[0]
        return [
            self._scores[policy] if place is None else float(costs[place])
            for place in self._policies.objectives
        ]


def rivals() -> dict[str, Rival]:
    """All by name, the slowest last."""
    found = {
        "random": Rival(make=_random, uses_proxy=False, most_trials=_ALL_TOLD),
        "uniform": Rival(make=_uniform, uses_proxy=False, most_trials=_ALL_TOLD),
        "proxy-front": Rival(make=_proxy_front, uses_proxy=True, most_trials=_ALL_TOLD),
        "nsga2-20": _cold(_nsga2(20), 2000),
        "nsga2-50": _cold(_nsga2(50), 2000),
        "nsga2-20-warm": _warm(_nsga2(20), 2000),
        "tpe": _cold(_tpe(multivariate=False), 400),
        "tpe-multivariate": _cold(_tpe(multivariate=True), 400),
        "tpe-multivariate-warm": _warm(_tpe(multivariate=True), 400),
        "gp": _cold(_gp, 60),
        "gp-warm": _warm(_gp, 60),
    }
    for name in ("ilp", "greedy", "evolution", "haq", "mpsearch"):
        if name in SAMPLERS:
            found[name] = Rival(make=_of_ours(SAMPLERS[name]), uses_proxy=True, most_trials=_OURS[name])
    return found


_OURS = {"ilp": 150, "greedy": 150, "evolution": 400, "haq": 100, "mpsearch": 150}


def rival_named(name: str) -> Rival:
    """Raises: ConfigError if there is none."""
    known = rivals()
    if name not in known:
        raise ConfigError(
            f"A sampler to replay must be one of {', '.join(known)}; got {name!r}.{did_you_mean(name, known)}"
        )
    return known[name]


def _within(policies: KnownPolicies) -> list[Policy]:
    """All that meet the bounds."""
    every = np.indices(policies.sizes).reshape(len(policies.sizes), -1).T
    return list(map(tuple, every[policies.feasible(every)].tolist()))


def _random(knowledge: Knowledge, seed: int) -> Asker:
    """What Optuna's random sampler proposes, repetitions left out: all policies in random order."""
    within = _within(knowledge.policies)
    return Listed(within[place] for place in np.random.default_rng(seed).permutation(len(within)))


def _uniform(knowledge: Knowledge, _seed: int) -> Asker:
    """Each scheme everywhere, or the next that a choice offers; the highest first."""
    places = [of_choice for of_choice in knowledge.policies.places if of_choice is not None]
    wanted = sorted({place for of_choice in places for place in of_choice.tolist()}, reverse=True)
    policies = [tuple(int(np.abs(offered - place).argmin()) for offered in places) for place in wanted]
    every = dict.fromkeys(policies)
    return Listed(policy for policy in every if knowledge.policies.feasible(np.array([policy]))[0])


def _proxy_front(knowledge: Knowledge, _seed: int) -> Asker:
    """All that are best by the proxy, with no search: those far apart first."""
    policies, proxy = knowledge.policies, knowledge.proxy
    assert proxy is not None
    front = exact_front(policies, proxy.losses, columns_that_matter(policies))
    spread = warm_start(policies, proxy, len(front) - 1) if len(front) > 1 else front
    return Listed(dict.fromkeys(map(tuple, [*spread.tolist(), *front.tolist()])))


def _starts(knowledge: Knowledge) -> list[Policy]:
    if knowledge.proxy is None:
        return []
    return list(map(tuple, warm_start(knowledge.policies, knowledge.proxy, WARM_STARTS).tolist()))


def _cold(factory: SamplerFactory, most_trials: int) -> Rival:
    return Rival(make=lambda k, seed: Sampled(factory, k, seed), uses_proxy=False, most_trials=most_trials)


def _warm(factory: SamplerFactory, most_trials: int) -> Rival:
    return Rival(
        make=lambda k, seed: Sampled(factory, k, seed, _starts(k)), uses_proxy=True, most_trials=most_trials
    )


def _of_ours(factory: SamplerFactory) -> Callable[[Knowledge, int], Asker]:
    return lambda knowledge, seed: Sampled(factory, knowledge, seed)


def _tpe(*, multivariate: bool) -> SamplerFactory:
    def make(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
        return TPESampler(seed=seed, multivariate=multivariate, n_startup_trials=_STARTUP)

    return SamplerFactory(make, most_told=_ALL_TOLD)


def _nsga2(population: int) -> SamplerFactory:
    def make(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
        return RestartableNsga2Sampler(seed=seed, population_size=population)

    return SamplerFactory(make, most_told=_ALL_TOLD)


def _gp(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=_STARTUP, warn_independent_sampling=False)
