"""What a study's trials tell a sampler, read once each."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from mpsearch.search.known_policies import Codes, KnownPolicies
from mpsearch.search.observations import ESTIMATE, Observations
from mpsearch.search.policy_sampler import policy_of, score_of
from mpsearch.search.random_policies import Policy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyState:
    """`observations`: scores in full and estimates of them; `running` (R, C): policies that are trained now
    and have no estimate; `seen`: policies of all trials, failed ones too.
    """

    observations: Observations
    running: Codes
    seen: Set[Policy]


class FinishedTrials:
    """Reads a study; a trial that has ended is not read again."""

    def __init__(self, policies: KnownPolicies) -> None:
        self._policies = policies
        self._study: Study | None = None
        self._forget()

    def read(self, study: Study, *, but: int) -> StudyState:
        """All trials `but` the one that is asked for."""
        if study is not self._study:
            self._study = study
            self._forget()
        running: list[Policy] = []
        unfinished: list[tuple[Policy, float, float]] = []
        for trial in study.get_trials(deepcopy=False):
            if trial.number in self._read or trial.number == but:
                continue
            policy = policy_of(trial, self._policies)
            told = self._told(trial, policy)
            if trial.state.is_finished():
                self._read.add(trial.number)
                if policy is not None:
                    self._seen.add(policy)
                if told is not None:
                    self._told_rows.append(told)
            elif told is not None:
                unfinished.append(told)
            elif policy is not None:
                running.append(policy)
        rows = [*self._told_rows, *unfinished]
        return StudyState(
            observations=Observations(
                codes=self._array([row[0] for row in rows]),
                scores=np.array([row[1] for row in rows], dtype=float),
                variances=np.array([row[2] for row in rows], dtype=float),
            ),
            running=self._array(running),
            seen=self._seen | set(running) | {row[0] for row in unfinished},
        )

    def _forget(self) -> None:
        self._read: set[int] = set()
        self._seen: set[Policy] = set()
        self._told_rows: list[tuple[Policy, float, float]] = []

    def _told(self, trial: FrozenTrial, policy: Policy | None) -> tuple[Policy, float, float] | None:
        if policy is None:
            return None
        score = score_of(trial, self._policies)
        if score is not None:
            return policy, score, 0.0
        if ESTIMATE in trial.system_attrs:
            estimate, variance = trial.system_attrs[ESTIMATE]
            return policy, float(estimate), float(variance)
        return None

    def _array(self, policies: list[Policy]) -> Codes:
        return np.array(policies, dtype=np.int64).reshape(len(policies), len(self._policies.names))
