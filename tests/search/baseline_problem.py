"""A small space whose costs and scores are arithmetic, for samplers that know the costs."""

from functools import cache

import numpy as np
import optuna
from optuna.distributions import IntDistribution

from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.proxy import Proxy
from mpsearch.search.samplers import SAMPLERS

COLUMNS = ("latency_s", "memory_bytes")
OFFERED = ("w8a8", "w1a1", "w32a32", "w4a8")  # not in the order of precision
LOSS = {"w1a1": 0.2, "w4a8": 0.02, "w8a8": 0.004, "w32a32": 0.0}
LATENCY = {"w1a1": 1.0, "w4a8": 3.0, "w8a8": 2.0, "w32a32": 6.0}  # w4a8 is slower than w8a8


@cache  # what samplers find out once for all is shared by the tests
def known_policies(choices=5, *, objectives=(None, 0, 1), **settings):
    costs = {
        f"layer{place}": {
            SCHEMES[s]: (LATENCY[s] * (place + 1), SCHEMES[s].weight_bits * (choices - place))
            for s in OFFERED
        }
        for place in range(choices)
    }
    return KnownPolicies.of_tables(costs, COLUMNS, objectives=objectives, **settings)


@cache
def proxy_of(policies):
    return Proxy(
        losses=tuple(
            np.array([LOSS[s] / (1 + place % 3) for s in OFFERED]) for place in range(len(policies.names))
        ),
        method="loss",
    )


@cache
def knowledge_of(policies=None):
    policies = policies or known_policies()
    return Knowledge(policies=policies, proxy=proxy_of(policies), samples=1000)


def score_of(policies, codes):
    """What training would give; nearly what the proxy says."""
    losses = proxy_of(policies).evaluate(np.array([codes]))[0]
    return float(0.95 - losses - 0.01 * np.sin(13 * losses + codes[0]))


def distributions_of(policies):
    return {
        name: IntDistribution(0, size - 1)
        for name, size in zip(policies.names, policies.sizes.tolist(), strict=True)
    }


def study_of(policies):
    directions = [
        "minimize" if column is not None or not policies.is_maximized else "maximize"
        for column in policies.objectives
    ]
    return optuna.create_study(directions=directions)


def search(name, knowledge, trials, *, seed=0, study=None):
    """A study after so many more trials, the sampler made anew for each ask; what was asked for, in order."""
    policies = knowledge.policies
    study = study or study_of(policies)
    asked = []
    for _ in range(trials):
        number = len(study.trials)
        study.sampler = SAMPLERS[name](1000 * seed + number, knowledge)
        trial = study.ask(distributions_of(policies))
        codes = tuple(trial.params[choice] for choice in policies.names)
        costs = policies.evaluate(np.array([codes]))[0]
        score = score_of(policies, codes)
        study.tell(trial, [score if column is None else costs[column] for column in policies.objectives])
        asked.append(codes)
    return study, asked
