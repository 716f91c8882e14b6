"""Who proposes the next policy: a table of Optuna samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mpsearch.errors import ConfigError
from mpsearch.search.nearest import did_you_mean

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

STARTUP_TRIALS = 10  # random ones before a model is fitted; the anchors count


def _tpe(seed: int) -> BaseSampler:
    """Multivariate tree-structured Parzen estimator. Schemes are integers: they are ordered."""
    from optuna.samplers import TPESampler  # noqa: PLC0415 - optuna is slow to import

    return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_TRIALS)


def _nsga2(seed: int) -> BaseSampler:
    """Genetic search with non-dominated sorting; a population that fits tens of trials, not thousands."""
    from optuna.samplers import NSGAIISampler  # noqa: PLC0415

    return NSGAIISampler(seed=seed, population_size=20)


def _gp(seed: int) -> BaseSampler:
    """Gaussian process with expected hypervolume improvement."""
    from optuna.samplers import GPSampler  # noqa: PLC0415

    return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)


def _random(seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler  # noqa: PLC0415

    return RandomSampler(seed=seed)


SamplerFactory = Callable[[int], "BaseSampler"]

SAMPLERS: dict[str, SamplerFactory] = {"tpe": _tpe, "nsga2": _nsga2, "gp": _gp, "random": _random}


def sampler_named(name: str) -> SamplerFactory:
    """Seed -> a sampler of that name.

    Raises: ConfigError if there is none.
    """
    if name not in SAMPLERS:
        raise ConfigError(
            f"A sampler must be one of {', '.join(SAMPLERS)}; got {name!r}.{did_you_mean(name, SAMPLERS)}"
        )
    return SAMPLERS[name]
