"""Which policy to try next: never one that is seen, known to cost too much, or against the overrides.

The sampler works on a copy of the study in memory (`SamplerMemory`), for three reasons: Optuna writes each
parameter in a commit of its own (550 ms a trial of 20 layers on disk), constraints of a finished trial cannot
be changed there when budgets and overrides do, and a long study takes samplers too long. The sampler is made
anew for each proposal, with a seed that follows from the search's seed, the trial's number and the attempt,
so that a search that was killed goes on as if it had not been.

Overrides leave the sampler the whole space to choose from, or what it learnt before them would be lost: its
proposal is moved to the nearest policy that they allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.failure_streak import blameless_failures
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.objective import Objective
from mpsearch.search.observations import Estimate
from mpsearch.search.overrides import Overrides
from mpsearch.search.resolve import Codes, nearest_place
from mpsearch.search.sampler_memory import SamplerMemory, ToldTrial, kept_notes
from mpsearch.search.samplers import SamplerFactory
from mpsearch.search.study import BegunTrial, StoredTrial, distributions_of
from mpsearch.search.trial_record import Origin, TrialRecord

MAX_ASKS = 10  # proposals of the sampler that may be wasted before a random policy is taken
MAX_REPEATS = 2  # of them, how many that were seen already


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A policy that the sampler proposed and that is not trained, for its known costs."""

    policy: PrecisionPolicy
    violations: Mapping[str, float]
    attributes: Mapping[str, Any]


class Proposer:
    """Asks a sampler, and answers for it where it repeats itself.

    `known` are the costs of the whole space, which the sampler chooses from; `allowed` those of the policies
    that the overrides leave. `begin` and `finish` must be told of every trial. `is_reordered` and
    `knowledge` as in `SamplerMemory`.
    """

    def __init__(
        self,
        known: KnownCosts,
        allowed: KnownCosts,
        *,
        objectives: tuple[Objective, ...],
        budgets: Budgets,
        overrides: Overrides,
        sampler: SamplerFactory,
        seed: int,
        knowledge: Knowledge | None = None,
        history: Iterable[StoredTrial] = (),
        is_reordered: bool = False,
    ) -> None:
        self.known = known
        self.allowed = allowed
        self.budgets = budgets
        self.overrides = overrides
        self.objectives = objectives
        self._seed = seed
        self._nearest_allowed = _nearest_allowed(known, allowed)
        self.seen: set[PrecisionPolicy] = set()
        self._seen_codes: set[tuple[int, ...]] = set()  # of those that the overrides allow
        history = list(history)
        self._blameless = blameless_failures(stored.record for stored in history if stored.record is not None)
        remembered = [told for stored in history if (told := self._remembered(stored)) is not None]
        self._memory = SamplerMemory(
            [objective.direction for objective in objectives],
            distributions_of(known.resolved),
            sampler,
            remembered,
            knowledge=knowledge,
            is_reordered=is_reordered,
        )

    def propose(self, number: int) -> tuple[BegunTrial | None, list[Refusal]]:
        """The next policy, begun, or None where none that may be tried is left; and what was refused.

        A proposal that costs too much teaches the sampler so. One that is seen already teaches it nothing:
        after `MAX_REPEATS` of them a policy next to the last is taken.
        """
        refused: list[Refusal] = []
        repeats = 0
        for attempt in range(MAX_ASKS):
            asked = self._codes(self._memory.ask(self._seed_of(number, attempt)))
            codes = np.array([near[code] for near, code in zip(self._nearest_allowed, asked, strict=True)])
            is_moved = bool((codes != asked).any())
            policy = self.known.resolved.policy(codes)
            if policy in self.seen:
                self._memory.drop()
                repeats += 1
                if repeats < MAX_REPEATS:
                    continue
                return self._unproposed(number, policy), refused
            violations = self._violations(policy)
            is_wanted = all(excess <= 0 for excess in violations.values())
            if is_wanted and not is_moved:
                return self._begun(number, policy, "sampler", self._memory.keep(number)), refused
            notes = self._memory.drop()
            if is_wanted:
                return self.begin(number, policy, "sampler"), refused
            refusal = Refusal(policy=policy, violations=violations, attributes={} if is_moved else notes)
            self._memory.tell(self._told(number - 0.5, policy, None, violations, refusal.attributes))
            refused.append(refusal)
        return self._unproposed(number, None), refused

    def _unproposed(self, number: int, near: PrecisionPolicy | None) -> BegunTrial | None:
        """A random policy that may be tried, next to one where there is any."""
        generator = np.random.default_rng([self._seed, number, MAX_ASKS])
        found = None
        if near is not None:
            codes = self.allowed.resolved.codes(near)
            found = self.allowed.random_neighbour(generator, self.budgets, self._seen_codes, codes)
        if found is None:
            found = self.allowed.random_feasible(generator, self.budgets, self._seen_codes)
        return None if found is None else self.begin(number, self.allowed.resolved.policy(found), "random")

    def begin(
        self, number: int, policy: PrecisionPolicy, origin: Origin, *, seed: int | None = None
    ) -> BegunTrial:
        """Begin a trial of a policy that was not proposed here.

        An anchor, one that a killed process left, one that another driver of the study has begun, or one that
        has a score and is trained again with another `seed`.
        """
        params = self._params(policy)
        notes = self._memory.begin(number, params, self._seed_of(number, MAX_ASKS))
        return replace(self._begun(number, policy, origin, notes), seed=seed)

    def resume(self, trial: BegunTrial) -> None:
        """Go on with a trial as it was proposed: one that a killed process left, or of another driver."""
        self._memory.resume(trial.number, self._params(trial.policy), kept_notes(trial.attributes))
        self._see(trial.policy)

    def expect(self, estimates: Mapping[int, Estimate]) -> None:
        """As `SamplerMemory.expect`."""
        self._memory.expect(estimates)

    def runs(self, trial: BegunTrial) -> bool:
        """Whether that trial was begun or resumed and has not ended."""
        return self._memory.runs(trial.number)

    def finish(self, record: TrialRecord) -> None:
        """A trial has ended, whether it was begun here or not."""
        notes = self._memory.end(record.number)
        self._see(record.policy)
        if not record.is_failed:  # samplers make nothing of failures
            self._memory.tell(self._told_of(record, notes))

    def forget(self, trial: BegunTrial) -> None:
        """A trial runs no longer and has not ended: its policy may be proposed again, if it has no score."""
        self._memory.withdraw(trial.number)
        if trial.origin == "repeat":
            return
        self.seen.discard(trial.policy)
        if self.overrides.allows(trial.policy):
            self._seen_codes.discard(tuple(self.allowed.resolved.codes(trial.policy).tolist()))

    def has_seen(self, policy: PrecisionPolicy) -> bool:
        return policy in self.seen

    def _begun(
        self, number: int, policy: PrecisionPolicy, origin: Origin, notes: Mapping[str, Any]
    ) -> BegunTrial:
        self._see(policy)
        return BegunTrial(number=number, policy=policy, origin=origin, attributes=notes)

    def _see(self, policy: PrecisionPolicy) -> None:
        self.seen.add(policy)
        if self.overrides.allows(policy):
            self._seen_codes.add(tuple(self.allowed.resolved.codes(policy).tolist()))

    def _remembered(self, stored: StoredTrial) -> ToldTrial | None:
        if stored.record is None:
            if all(excess <= 0 for excess in self._cost_violations(stored.policy).values()):
                return None  # refused under tighter budgets than today's: it may be proposed again
            violations = self._violations(stored.policy)
            return self._told(stored.number - 0.5, stored.policy, None, violations, stored.attributes)
        if stored.number not in self._blameless:
            self._see(stored.policy)
        return None if stored.record.is_failed else self._told_of(stored.record, stored.attributes)

    def _told_of(self, record: TrialRecord, notes: Mapping[str, Any]) -> ToldTrial:
        values = tuple(o.of(record) for o in self.objectives) if record.is_complete else None
        return self._told(record.number, record.policy, values, self._violations_of(record), notes)

    def _told(
        self,
        order: float,
        policy: PrecisionPolicy,
        values: tuple[float, ...] | None,
        violations: Mapping[str, float],
        notes: Mapping[str, Any],
    ) -> ToldTrial:
        return ToldTrial(
            order=order,
            params=self._params(policy),
            values=values,
            violations=violations,
            notes=kept_notes(notes),
        )

    def _seed_of(self, number: int, attempt: int) -> int:
        sequence = np.random.SeedSequence([self._seed, number, attempt])
        return int(sequence.generate_state(1)[0] >> 1)

    def _violations(self, policy: PrecisionPolicy) -> dict[str, float]:
        return {**self._cost_violations(policy), **self._broken(policy)}

    def _violations_of(self, record: TrialRecord) -> dict[str, float]:
        if not record.is_complete:  # stopped: its accuracy in full is not known
            return self._violations(record.policy)
        found = self.budgets.violations(record.costs, record.accuracy, record.loss)
        return {**found, **self._broken(record.policy)}

    def _cost_violations(self, policy: PrecisionPolicy) -> dict[str, float]:
        return self.budgets.cost_violations(self.known.costs(policy))

    def _broken(self, policy: PrecisionPolicy) -> dict[str, float]:
        """The share of the layers whose scheme is against the overrides, where there are any."""
        if not self.overrides:
            return {}
        return {"overrides": len(self.overrides.broken_by(policy)) / len(policy)}

    def _params(self, policy: PrecisionPolicy) -> dict[str, int]:
        resolved = self.known.resolved
        return dict(zip(resolved.parameters, resolved.codes(policy).tolist(), strict=True))

    def _codes(self, params: Mapping[str, Any]) -> Codes:
        return np.array([params[name] for name in self.known.resolved.parameters], dtype=np.int64)


def _nearest_allowed(known: KnownCosts, allowed: KnownCosts) -> list[Codes]:
    """For each choice of the whole space, code -> code of the nearest scheme that the overrides leave.

    They leave every width.
    """
    left = allowed.resolved.schemes
    widths = known.resolved.widths
    return [
        np.array([choice.schemes.index(schemes[nearest_place(s, schemes)]) for s in choice.schemes])
        for choice in known.resolved.choices
        for schemes in [left[choice.layers[0]]]
    ] + ([np.arange(len(widths))] if widths else [])
