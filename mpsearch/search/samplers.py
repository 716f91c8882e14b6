"""Who proposes the next policy: a table of Optuna samplers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpsearch.errors import ConfigError
from mpsearch.search.nearest import did_you_mean

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from mpsearch.search.knowledge import Knowledge

STARTUP_TRIALS = 10  # random ones before a model is fitted; the anchors count
GENERATION = "RestartableNsga2Sampler:generation"  # its note on a trial; who has none is no parent
KEPT_GENERATIONS = 2  # when older trials are left out; a generation's parents come from the one before


@dataclass(frozen=True, slots=True)
class SamplerFactory:
    """Seed and knowledge -> a sampler, told about `most_told` finished trials at most: see `SamplerMemory`.

    One that `uses_knowledge` must be given it; to the others it may be None.
    """

    make: Callable[[int, Knowledge | None], BaseSampler]
    most_told: int
    uses_knowledge: bool = False

    def __call__(self, seed: int, knowledge: Knowledge | None = None) -> BaseSampler:
        """Raises: ConfigError if it needs knowledge and gets none."""
        if self.uses_knowledge and knowledge is None:
            raise ConfigError(
                "This sampler must know the costs of policies; got none. Give it a `Knowledge`, or choose "
                f"one of {', '.join(name for name, one in SAMPLERS.items() if not one.uses_knowledge)}."
            )
        return self.make(seed, knowledge)


def _tpe(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
    """Multivariate tree-structured Parzen estimator. Schemes are integers: they are ordered.

    Running trials count as bad ones (constant liar), so that several asked at a time lie apart.
    """
    from optuna.samplers import TPESampler  # noqa: PLC0415 - optuna is slow to import

    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS)


def _nsga2(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
    """Genetic search with non-dominated sorting; a population that fits tens of trials, not thousands."""
    from mpsearch.search.nsga2_sampler import RestartableNsga2Sampler  # noqa: PLC0415

    return RestartableNsga2Sampler(seed=seed, population_size=20)


def _gp(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
    """Gaussian process with expected hypervolume improvement, of a batch where trials run.

    Optuna takes seconds to find the best of its expectations, however short the history: for long trials.
    """
    from optuna.samplers import GPSampler  # noqa: PLC0415

    return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False)


def _random(seed: int, _knowledge: Knowledge | None) -> BaseSampler:
    from optuna.samplers import RandomSampler  # noqa: PLC0415

    return RandomSampler(seed=seed)


def _ilp(seed: int, knowledge: Knowledge | None) -> BaseSampler:
    from mpsearch.search.ilp_sampler import IlpSampler  # noqa: PLC0415

    assert knowledge is not None
    return IlpSampler(knowledge, seed=seed)


def _mpsearch(seed: int, knowledge: Knowledge | None) -> BaseSampler:
    """Knows what policies cost and learns their score alone: see `CostAwareSampler`."""
    from mpsearch.search.sampler import CostAwareSampler  # noqa: PLC0415

    assert knowledge is not None
    return CostAwareSampler(knowledge.policies, knowledge.proxy, samples=knowledge.samples, seed=seed)


def _greedy(seed: int, knowledge: Knowledge | None) -> BaseSampler:
    from mpsearch.search.greedy_sampler import GreedySampler  # noqa: PLC0415

    assert knowledge is not None
    return GreedySampler(knowledge, seed=seed)


def _evolution(seed: int, knowledge: Knowledge | None) -> BaseSampler:
    from mpsearch.search.evolution_sampler import EvolutionSampler  # noqa: PLC0415

    assert knowledge is not None
    return EvolutionSampler(knowledge, seed=seed)


def _haq(seed: int, knowledge: Knowledge | None) -> BaseSampler:
    from mpsearch.search.haq_sampler import HaqSampler  # noqa: PLC0415

    assert knowledge is not None
    return HaqSampler(knowledge.policies, seed=seed)


_EVERY = 10**6  # those that go down a list must not be asked to forget what they have proposed

SAMPLERS: dict[str, SamplerFactory] = {
    "mpsearch": SamplerFactory(_mpsearch, most_told=500, uses_knowledge=True),
    "tpe": SamplerFactory(_tpe, most_told=300),
    "nsga2": SamplerFactory(_nsga2, most_told=500),
    "gp": SamplerFactory(_gp, most_told=100),
    "random": SamplerFactory(_random, most_told=500),
    "ilp": SamplerFactory(_ilp, most_told=_EVERY, uses_knowledge=True),
    "greedy": SamplerFactory(_greedy, most_told=_EVERY, uses_knowledge=True),
    "evolution": SamplerFactory(_evolution, most_told=1000, uses_knowledge=True),
    "haq": SamplerFactory(_haq, most_told=1000, uses_knowledge=True),
}


def sampler_named(name: str) -> SamplerFactory:
    """Seed and knowledge -> a sampler of that name.

    Raises: ConfigError if there is none.
    """
    if name not in SAMPLERS:
        raise ConfigError(
            f"A sampler must be one of {', '.join(SAMPLERS)}; got {name!r}.{did_you_mean(name, SAMPLERS)}"
        )
    return SAMPLERS[name]


def aged(notes: Mapping[str, Any], by: int) -> dict[str, Any]:
    """A sampler's notes on a trial with its generation counted from another one; the first is 0."""
    if GENERATION not in notes:
        return dict(notes)
    return {**notes, GENERATION: max(0, notes[GENERATION] - by)}
