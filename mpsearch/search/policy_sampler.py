"""A sampler of Optuna that proposes a whole policy at a time, of those whose costs are known."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mpsearch.errors import ConfigError
from mpsearch.search.known_policies import Codes, Floats, KnownPolicies
from mpsearch.search.random_policies import Policy, random_unseen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToldPolicies:
    """The trials of a study as a sampler needs them, in the order of their numbers.

    Of the trials that have a score in full, `codes` (N, C) and `scores` (N,), to be maximised; `seen`: the
    policies of all trials, running and failed ones too.
    """

    codes: Codes
    scores: Floats
    seen: Set[Policy]


class CodeSampler(BaseSampler, ABC):
    """Chooses codes of `policies`: parameters named as its choices, integers from 0.

    Raises (when asked): ConfigError if a parameter is none of the choices, or the directions of the study are
    not those of `policies.objectives`.
    """

    def __init__(self, policies: KnownPolicies, *, seed: int) -> None:
        self.policies = policies
        self.generator = np.random.default_rng(seed)

    @abstractmethod
    def choose(self, study: Study, trial: FrozenTrial) -> Policy:
        """The policy of a trial that is asked for."""

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
    ) -> dict[str, BaseDistribution]:
        sizes = zip(self.policies.names, self.policies.sizes.tolist(), strict=True)
        return {name: IntDistribution(0, size - 1) for name, size in sizes}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002 - Optuna's signature
    ) -> dict[str, Any]:
        self._require_directions(study)
        return dict(zip(self.policies.names, self.choose(study, trial), strict=True))

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002 - Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002 - Optuna's signature
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        raise ConfigError(
            "The parameters must be the choices of the space, each an integer from 0 to its size less 1; got "
            f"{param_name!r}, {param_distribution}. The choices are {', '.join(self.policies.names)!s:.200}."
        )

    def _require_directions(self, study: Study) -> None:
        learnt = StudyDirection.MAXIMIZE if self.policies.is_maximized else StudyDirection.MINIMIZE
        wanted = [learnt if place is None else StudyDirection.MINIMIZE for place in self.policies.objectives]
        if study.directions != wanted:
            raise ConfigError(
                "The directions of a study must be those of `policies.objectives`, "
                f"{[direction.name.lower() for direction in wanted]}; got "
                f"{[direction.name.lower() for direction in study.directions]}. Create the study with them."
            )

    def reseed_rng(self) -> None:
        self.generator = np.random.default_rng()


class PolicySampler(CodeSampler):
    """Proposes from what is told of all trials.

    It keeps nothing between asks: what it proposes follows from the trials of the study and the seed. Never a
    policy beyond the bounds, nor one that a trial has, while another can be found.
    """

    @abstractmethod
    def propose(self, told: ToldPolicies) -> Policy | None:
        """The next policy; None where the method has none that is new, and a random one is taken."""

    def choose(self, study: Study, trial: FrozenTrial) -> Policy:
        told = told_policies(study, self.policies, but=trial.number)
        proposed = self.propose(told)
        return random_unseen(self.policies, told.seen, self.generator) if proposed is None else proposed


def told_policies(study: Study, policies: KnownPolicies, *, but: int) -> ToldPolicies:
    """What the trials of a study tell, all `but` the one that is asked for.

    Where the learnt score is no objective, it is known by how much it misses `least_score`.
    """
    sign = 1.0 if policies.is_maximized else -1.0
    codes, scores, seen = [], [], set()
    for trial in study.get_trials(deepcopy=False):
        if trial.number == but or (policy := policy_of(trial, policies)) is None:
            continue
        seen.add(policy)
        score = score_of(trial, policies)
        if score is not None:
            codes.append(policy)
            scores.append(sign * score)
    return ToldPolicies(
        codes=np.array(codes, dtype=np.int64).reshape(len(codes), len(policies.names)),
        scores=np.array(scores, dtype=float),
        seen=seen,
    )


def policy_of(trial: FrozenTrial, policies: KnownPolicies) -> Policy | None:
    """None where a parameter is missing or too great: the trial is of another space, or has not begun."""
    try:
        policy = tuple(map(trial.params.__getitem__, policies.names))
    except KeyError:
        return None
    return policy if all(map(operator.lt, policy, policies.sizes.tolist())) else None


def score_of(trial: FrozenTrial, policies: KnownPolicies) -> float | None:
    """The learnt score of a trial, None where it has none in full, or one that is infinite."""
    if trial.state != TrialState.COMPLETE:
        return None
    score = _score_in_full(trial, policies)
    return score if score is not None and math.isfinite(score) else None


def _score_in_full(trial: FrozenTrial, policies: KnownPolicies) -> float | None:
    if None in policies.objectives:
        return float(trial.values[policies.objectives.index(None)])
    least = policies.least_score
    missing = trial.constraints.get("accuracy" if policies.is_maximized else "loss")
    if least is None or missing is None:
        return None
    return least - missing if policies.is_maximized else least * (1 + missing)  # as `Budgets.violations`
