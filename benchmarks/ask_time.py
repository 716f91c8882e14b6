"""How long the sampler that knows its costs takes to be asked, by the length of the search and the layers.

python benchmarks/ask_time.py [--asks 5] [--policies 60x1000 300x1000 60x10000 300x10000]

A line of JSON each: processor seconds of one thread, which other work on the machine lengthens less than the
clock's, so the least of several asks says most. Trials are random policies of many and of few bits, their
scores made up: a sum of what each layer loses at few bits, and noise. The first ask of a process makes what
is kept between asks (the proxy's front) and reads the trials; it is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.proxy import Proxy
from mpsearch.search.sampler import CostAwareSampler

USUAL = ("60x1000", "300x1000", "60x10000", "300x10000")
_SAMPLES = 2000


def made_up(layers: int) -> tuple[KnownPolicies, Proxy]:
    """A space of all schemes in each layer, costs that rise with bits, and what each layer loses."""
    generator = np.random.default_rng(layers)
    rising = np.cumsum(generator.uniform(0.2, 1.0, (layers, len(SCHEMES), 2)), axis=1)
    costs = {
        f"layer{place}": dict(zip(SCHEMES.values(), rising[place].tolist(), strict=True))
        for place in range(layers)
    }
    policies = KnownPolicies.of_tables(costs, ("latency_s", "memory_bytes"), objectives=(None, 0, 1))
    falling = np.array([1.0, 0.6, 0.4, 0.1, 0.02, 0.0])
    sensitivity = generator.lognormal(0.0, 1.0, layers) / layers
    return policies, Proxy(losses=tuple(falling * of_layer for of_layer in sensitivity), method="loss")


def study_of(policies: KnownPolicies, proxy: Proxy, trials: int) -> optuna.Study:
    """With so many trials, each of a random share of low layers."""
    generator = np.random.default_rng(trials)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    shares = generator.random((trials, 1))
    codes = (generator.random((trials, len(policies.sizes))) ** (2 * shares + 0.2) * policies.sizes).astype(
        np.int64
    )
    errors = np.clip(0.08 + 0.4 * proxy.evaluate(codes) / max(1.0, proxy.evaluate(codes).max()), 0, 1)
    scores = 1 - generator.binomial(_SAMPLES, errors) / _SAMPLES
    distributions = {
        name: IntDistribution(0, size - 1)
        for name, size in zip(policies.names, policies.sizes.tolist(), strict=True)
    }
    values = np.column_stack((scores, policies.evaluate(codes))).tolist()
    study.add_trials(
        [
            create_trial(
                state=TrialState.COMPLETE,
                params=dict(zip(policies.names, row, strict=True)),
                distributions=distributions,
                values=value,
            )
            for row, value in zip(codes.tolist(), values, strict=True)
        ]
    )
    return study


def ask_times(layers: int, trials: int, asks: int) -> dict[str, float | int]:
    """Of so many asks after a first one; what is asked for fails at once."""
    policies, proxy = made_up(layers)
    study = study_of(policies, proxy, trials)
    study.sampler = CostAwareSampler(policies, proxy, samples=_SAMPLES, seed=0)
    spent = []
    for _ in range(asks + 1):
        trial = study.ask()
        frozen = study.get_trials(deepcopy=False)[-1]
        distributions = study.sampler.infer_relative_search_space(study, frozen)
        start = time.process_time()
        study.sampler.sample_relative(study, frozen, distributions)
        spent.append(time.process_time() - start)
        study.tell(trial, state=TrialState.FAIL)
    return {
        "layers": layers,
        "trials": trials,
        "first_ask_ms": round(1000 * spent[0], 1),
        "ask_ms": round(1000 * statistics.median(spent[1:]), 1),
        "least_ask_ms": round(1000 * min(spent[1:]), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asks", type=int, default=5)
    parser.add_argument("--policies", nargs="+", default=USUAL, metavar="LAYERSxTRIALS")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for size in options.policies:
        layers, trials = map(int, size.split("x"))
        print(json.dumps(ask_times(layers, trials, options.asks)), flush=True)


if __name__ == "__main__":
    main()
