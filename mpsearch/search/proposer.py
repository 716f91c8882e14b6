"""Which policy to try next: never one that is seen, known to cost too much, or against the overrides.

The sampler works on a copy of the study in memory, for two reasons: Optuna writes each parameter in a
commit of its own (550 ms a trial of 20 layers on disk), and constraints of a finished trial cannot be changed
there when budgets and overrides do. The sampler is made anew for each proposal, with a seed that follows from
the search's seed, the trial's number and the attempt, so that a search that was killed goes on as if it had
not been.

Overrides leave the sampler the whole space to choose from, or what it learnt before them would be lost: its
proposal is moved to the nearest policy that they allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState, create_trial

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.budgets import Budgets
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.objective import Objective
from mpsearch.search.overrides import Overrides
from mpsearch.search.resolve import Codes, nearest_place
from mpsearch.search.samplers import SamplerFactory
from mpsearch.search.study import BegunTrial, StoredTrial, distributions_of, quiet_optuna
from mpsearch.search.trial_record import Origin, TrialRecord

MAX_ASKS = 10  # proposals of the sampler that may be wasted before a random policy is taken
_ANY_FIXED = "fixed_params"  # Optuna's note on an enqueued trial; it would be followed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A policy that the sampler proposed and that is not trained, for its known costs."""

    policy: PrecisionPolicy
    violations: Mapping[str, float]
    attributes: Mapping[str, Any]


class Proposer:
    """Asks a sampler, and answers for it where it repeats itself.

    `known` are the costs of the whole space, which the sampler chooses from; `allowed` those of the policies
    that the overrides leave. `begin` and `finish` must be told of every trial.
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
        history: Iterable[StoredTrial] = (),
    ) -> None:
        self.known = known
        self.allowed = allowed
        self.budgets = budgets
        self.overrides = overrides
        self.objectives = objectives
        self._sampler = sampler
        self._seed = seed
        self._distributions = distributions_of(known.resolved)
        self._nearest_allowed = _nearest_allowed(known, allowed)
        self._running: dict[int, Trial] = {}
        self.seen: set[PrecisionPolicy] = set()
        with quiet_optuna():
            self._study = optuna.create_study(directions=[objective.direction for objective in objectives])
        for stored in history:
            self._remember(stored)

    def propose(self, number: int) -> tuple[BegunTrial | None, list[Refusal]]:
        """The next policy, begun, or None where none that may be tried is left; and what was refused.

        A proposal that is seen already teaches the sampler nothing; one that costs too much teaches it so.
        """
        refused: list[Refusal] = []
        for attempt in range(MAX_ASKS):
            self._reseed(number, attempt)
            trial = self._study.ask(self._distributions)
            asked = self._codes(trial.params)
            codes = np.array([near[code] for near, code in zip(self._nearest_allowed, asked, strict=True)])
            policy = self.known.resolved.policy(codes)
            if policy in self.seen:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            if (codes != asked).any():
                self._study.tell(trial, state=TrialState.FAIL)
                trial = self._enqueued(codes)
            violations = self._violations(policy)
            if not any(excess > 0 for excess in violations.values()):
                return self._begun(trial, number, policy, "sampler"), refused
            for name, excess in violations.items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, state=TrialState.PRUNED)
            refused.append(Refusal(policy=policy, violations=violations, attributes=_notes(trial)))
        generator = np.random.default_rng([self._seed, number, MAX_ASKS])
        open_codes = self.allowed.resolved.codes
        seen = {tuple(open_codes(p).tolist()) for p in self.seen if self.overrides.allows(p)}
        found = self.allowed.random_feasible(generator, self.budgets, seen)
        if found is None:
            return None, refused
        return self.begin(number, self.allowed.resolved.policy(found), "random"), refused

    def begin(self, number: int, policy: PrecisionPolicy, origin: Origin) -> BegunTrial:
        """Begin a trial of a policy that was not proposed: an anchor, or one that a killed process left."""
        self._reseed(number, MAX_ASKS)
        return self._begun(self._enqueued(self.known.resolved.codes(policy)), number, policy, origin)

    def finish(self, record: TrialRecord) -> None:
        trial = self._running.pop(record.number)
        if not record.is_complete:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, excess in self._violations_of(record).items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, self._values(record))

    def has_seen(self, policy: PrecisionPolicy) -> bool:
        return policy in self.seen

    def _enqueued(self, codes: Codes) -> Trial:
        """A trial of these codes, which the sampler is told of as if it had proposed it."""
        self._study.enqueue_trial(self._params(codes))
        return self._study.ask(self._distributions)

    def _begun(self, trial: Trial, number: int, policy: PrecisionPolicy, origin: Origin) -> BegunTrial:
        self._running[number] = trial
        self.seen.add(policy)
        return BegunTrial(number=number, policy=policy, origin=origin, attributes=_notes(trial))

    def _remember(self, stored: StoredTrial) -> None:
        codes = self.known.resolved.codes(stored.policy)
        record = stored.record
        if record is None:
            if all(excess <= 0 for excess in self._cost_violations(stored.policy).values()):
                return  # refused under tighter budgets than today's: it may be proposed again
            violations = self._violations(stored.policy)
            state, values = TrialState.PRUNED, None
        else:
            self.seen.add(stored.policy)
            if not record.is_complete:
                return  # samplers make nothing of failures
            violations = self._violations_of(record)
            state, values = TrialState.COMPLETE, self._values(record)
        self._study.add_trial(
            create_trial(
                state=state,
                values=values,
                params=self._params(codes),
                distributions=self._distributions,
                constraints=violations,
                system_attrs={k: v for k, v in stored.attributes.items() if not k.startswith("constraints")},
            )
        )

    def _reseed(self, number: int, attempt: int) -> None:
        sequence = np.random.SeedSequence([self._seed, number, attempt])
        self._study.sampler = self._sampler(int(sequence.generate_state(1)[0] >> 1))

    def _violations(self, policy: PrecisionPolicy) -> dict[str, float]:
        return {**self._cost_violations(policy), **self._broken(policy)}

    def _violations_of(self, record: TrialRecord) -> dict[str, float]:
        return {**self.budgets.violations(record.costs, record.accuracy), **self._broken(record.policy)}

    def _cost_violations(self, policy: PrecisionPolicy) -> dict[str, float]:
        return self.budgets.cost_violations(self.known.costs(policy))

    def _broken(self, policy: PrecisionPolicy) -> dict[str, float]:
        """The share of the layers whose scheme is against the overrides, where there are any."""
        if not self.overrides:
            return {}
        return {"overrides": len(self.overrides.broken_by(policy)) / len(policy)}

    def _values(self, record: TrialRecord) -> list[float]:
        return [objective.of(record) for objective in self.objectives]

    def _params(self, codes: Codes) -> dict[str, int]:
        choices = self.known.resolved.choices
        return {choice.name: int(code) for choice, code in zip(choices, codes, strict=True)}

    def _codes(self, params: Mapping[str, Any]) -> Codes:
        return np.array([params[choice.name] for choice in self.known.resolved.choices], dtype=np.int64)


def _nearest_allowed(known: KnownCosts, allowed: KnownCosts) -> list[Codes]:
    """For each choice of the whole space, code -> code of the nearest scheme that the overrides leave."""
    left = allowed.resolved.schemes
    return [
        np.array([choice.schemes.index(schemes[nearest_place(s, schemes)]) for s in choice.schemes])
        for choice in known.resolved.choices
        for schemes in [left[choice.layers[0]]]
    ]


def _notes(trial: Trial) -> dict[str, Any]:
    """What the sampler wrote on the trial (its generation, say) and will look for when the search goes on."""
    kept = trial.storage.get_trial_system_attrs(trial._trial_id)
    return {k: v for k, v in kept.items() if k != _ANY_FIXED and not k.startswith("constraints")}
