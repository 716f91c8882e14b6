"""The sampler that knows what policies cost: it learns their score alone."""

from __future__ import annotations

import functools

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from mpsearch.errors import BudgetError
from mpsearch.search.best_under import best_under
from mpsearch.search.finished_trials import FinishedTrials, StudyState
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.next_policy import NextPolicy, assumed_proxy, next_policy
from mpsearch.search.observations import ADVICE, Observations
from mpsearch.search.policy_sampler import CodeSampler
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_starts import warm_start
from mpsearch.search.random_policies import Policy, first_unseen, random_unseen
from mpsearch.search.sampler_memory import best_first

STARTS = 6  # policies of the proxy's front that are trained before the model is asked
MOST_TRIALS = 192  # that the model rests on
_LEAST_SCORES = 3  # without which the model is not asked
_MORE_STARTS = 24  # to go on with while trials run and too few scores are there


class CostAwareSampler(CodeSampler):
    """Expected hypervolume improvement over policies whose costs are known: the score alone is learnt.

    First policies of the proxy's front, spread over it, until there are `STARTS` trials. Then for each ask a
    surrogate of the score from all trials that have one (`accuracy_surrogate`), running ones taken to score
    as expected; candidates (`candidates`: in a space of up to 2^14 policies all); and of these the one that
    is expected to add most to the front (`next_policy`). Of one objective that is the expected improvement
    over the best; where none is learnt, what a policy adds times the probability that it meets
    `least_score`.

    No policy beyond the bounds is proposed, and none that a trial has, while another can be found. What is
    proposed follows from the seed and the trials of the study; of more than `MOST_TRIALS` the model rests on
    those nearest to the front and some of the others. `found` is the last choice of the model, None before:
    its `gain` below its `luck` advises to stop.

    For a study of one's own: integer parameters named as `policies.names`, objectives in the order of
    `policies.objectives`. `samples` is the number of validation samples that a score is the mean of. Without
    a proxy few bits are taken to lose as much in each choice, until trials tell.

    Raises (when asked): BudgetError if no policy is within the bounds.
    Source: Emmerich et al. 2011, 10.1109/CEC.2011.5949880 (improvement); Ginsbourger et al. 2010,
        10.1007/978-3-642-10701-6_6 (running trials).
    """

    def __init__(
        self, policies: KnownPolicies, proxy: Proxy | None = None, *, samples: int = 1000, seed: int = 0
    ) -> None:
        super().__init__(policies, seed=seed)
        self._knowledge = _knowledge(policies, proxy, samples)
        self._trials = FinishedTrials(policies)
        self.found: NextPolicy | None = None

    def choose(self, study: Study, trial: FrozenTrial) -> Policy:
        state = self._trials.read(study, but=trial.number)
        self.found = None
        policy = self._start(state)
        if policy is None and len(state.observations.scores) >= _LEAST_SCORES:
            self.found = next_policy(
                self._knowledge,
                _most_telling(self.policies, state.observations),
                state.running,
                state.seen,
                self.generator,
            )
        if self.found is not None:
            note = [self.found.gain, self.found.luck]
            study._storage.set_trial_system_attr(trial._trial_id, ADVICE, note)
            return self.found.policy
        return self._any(state) if policy is None else policy

    def _start(self, state: StudyState) -> Policy | None:
        """The next of the proxy's front, until trials tell enough."""
        scores = len(state.observations.scores)
        if len(state.seen) >= STARTS and scores >= _LEAST_SCORES:
            return None
        count = STARTS if len(state.seen) < STARTS else _MORE_STARTS
        return first_unseen(warm_start(self.policies, assumed_proxy(self._knowledge), count), state.seen)

    def _any(self, state: StudyState) -> Policy:
        """One at random that is not seen; where none is left, the best by the proxy within the bounds.

        Raises: BudgetError if there is none.
        """
        policy = random_unseen(self.policies, state.seen, self.generator)
        if self.policies.feasible(np.array([policy]))[0]:
            return policy
        # Not the proxy's front: thinned, under tight bounds it may be empty although policies meet them.
        best = best_under(self.policies, assumed_proxy(self._knowledge).losses, self.policies.bounds)
        if best is None:
            bounds = dict(zip(self.policies.columns, self.policies.bounds.tolist(), strict=True))
            raise BudgetError(f"A policy must cost at most {bounds}; none of the space does. Raise a bound.")
        return tuple(best.tolist())


@functools.lru_cache(maxsize=4)  # samplers are made anew for each ask
def _knowledge(policies: KnownPolicies, proxy: Proxy | None, samples: int) -> Knowledge:
    return Knowledge(policies=policies, proxy=proxy, samples=samples)


def _most_telling(policies: KnownPolicies, told: Observations) -> Observations:
    """Of many trials those of the front and next to it, and evenly some of the others."""
    if len(told.scores) <= MOST_TRIALS:
        return told
    columns = [column for column in policies.objectives if column is not None]
    losses = -told.scores if policies.is_maximized else told.scores
    order = best_first(np.column_stack((losses, policies.evaluate(told.codes)[:, columns])))
    near = MOST_TRIALS * 3 // 4
    others = np.sort(order[near:])
    spread = np.linspace(0, len(others) - 1, MOST_TRIALS - near).round().astype(np.int64)
    rows = np.sort(np.concatenate((order[:near], others[spread])))
    return Observations(codes=told.codes[rows], scores=told.scores[rows], variances=told.variances[rows])
