"""Which trials may begin: those that a killed process left, the uniform policies, then what is proposed."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.proposer import Proposer
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import BegunTrial, StudyStore


class UpcomingTrials:
    """Hands out trials with numbers that nobody has, and begins them in the study.

    `lost`: trials that a killed process left. `ended`: numbers of trials that have ended. `known` and
    `allowed` as in `TrialLoop`.
    """

    def __init__(
        self,
        space: SearchSpace,
        known: KnownCosts,
        allowed: KnownCosts,
        *,
        store: StudyStore,
        proposer: Proposer,
        lost: Iterable[BegunTrial],
        ended: Collection[int],
    ) -> None:
        self._space = space
        self._known = known
        self._store = store
        self._proposer = proposer
        self._lost = deque(lost)
        self._next_number = max([*ended, *(trial.number for trial in self._lost)], default=-1) + 1
        for trial in self._lost:
            if trial.origin == "repeat" or not proposer.has_seen(trial.policy):
                proposer.resume(trial)
        self._anchors = deque(
            policy for policy in allowed.resolved.anchors() if not proposer.has_seen(policy)
        )

    @property
    def waiting(self) -> int:
        """How many of those that a killed process left wait at a lower fidelity."""
        return sum(bool(trial.rungs) for trial in self._lost)

    def promised(self) -> BegunTrial | None:
        """The next one that begins whatever else might: lost, if it is wanted still, or an anchor."""
        while self._lost:
            trial = self._lost.popleft()
            is_wanted = trial.origin == "anchor" or not self._costs_too_much(trial)
            is_wanted &= self._space.overrides.allows(trial.policy)
            if is_wanted and self._proposer.runs(trial):
                return trial
            if self._proposer.runs(trial):
                self._proposer.forget(trial)
            self._store.abandon(trial.number)
        while self._anchors:
            policy = self._anchors.popleft()
            if not self._proposer.has_seen(policy):
                return self._proposer.begin(self._new_number(), policy, "anchor")
        return None

    def proposal(self) -> BegunTrial | None:
        """A policy that the proposer chose; None where none is left."""
        proposed, refused = self._proposer.propose(self._next_number)
        for refusal in refused:
            self._store.refuse(refusal.policy, refusal.violations, refusal.attributes)
        if proposed is not None:
            self._new_number()
        return proposed

    def take_back(self, proposal: BegunTrial) -> None:
        """Something else is worth more than the latest proposal: its number is free again."""
        self._proposer.forget(proposal)
        self._next_number = proposal.number

    def repeat(self, policy: PrecisionPolicy, seed: int) -> BegunTrial:
        """A policy that has a score, to be trained with another seed."""
        return self._proposer.begin(self._new_number(), policy, "repeat", seed=seed)

    def begin(self, trial: BegunTrial) -> bool:
        """Begin it in the study; False, and it is forgotten, where another driver was first."""
        if self._begins(trial):
            return True
        self._proposer.forget(trial)
        if trial.origin == "anchor":
            self._anchors.appendleft(trial.policy)
        return False

    def begin_rungs(self) -> list[BegunTrial]:
        """Begin those that a killed process left at a lower fidelity: they are to wait here."""
        found = [trial for trial in self._lost if trial.rungs]
        self._lost = deque(trial for trial in self._lost if not trial.rungs)
        begun = []
        for trial in found:
            if not self._proposer.runs(trial):
                self._store.abandon(trial.number)
            elif self._begins(trial):
                begun.append(trial)
        return begun

    def give_up(self, number: int) -> None:
        """Another driver has that trial: it is lost no more, and its number is taken."""
        self._next_number = max(self._next_number, number + 1)
        self._lost = deque(trial for trial in self._lost if trial.number != number)

    def add_lost(self, trial: BegunTrial) -> None:
        """Another driver has left that trial."""
        self._lost.append(trial)
        self._proposer.resume(trial)

    def _begins(self, trial: BegunTrial) -> bool:
        return self._store.begin(trial, self._cost_violations(trial))

    def _cost_violations(self, trial: BegunTrial) -> dict[str, float]:
        return self._space.budgets.cost_violations(self._known.costs(trial.policy))

    def _costs_too_much(self, trial: BegunTrial) -> bool:
        return any(excess > 0 for excess in self._cost_violations(trial).values())

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1
