"""Which policy to try next: never one that is seen, or known to cost too much.

The sampler works on a copy of the study in memory, for two reasons: Optuna writes each parameter in a
commit of its own (550 ms a trial of 20 layers on disk), and constraints of a finished trial cannot be changed
there when the budgets do. The sampler is made anew for each proposal, with a seed that follows from the
search's seed, the trial's number and the attempt, so that a search that was killed goes on as if it had not
been.
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
from mpsearch.search.resolve import Codes
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

    `begin` and `finish` must be told of every trial. `refused` collects what has to be written down.
    """

    def __init__(
        self,
        known: KnownCosts,
        *,
        objectives: tuple[Objective, ...],
        budgets: Budgets,
        sampler: SamplerFactory,
        seed: int,
        history: Iterable[StoredTrial] = (),
    ) -> None:
        self.known = known
        self.budgets = budgets
        self.objectives = objectives
        self._sampler = sampler
        self._seed = seed
        self._distributions = distributions_of(known.resolved)
        self._running: dict[int, Trial] = {}
        self.seen: set[tuple[int, ...]] = set()
        with quiet_optuna():
            self._study = optuna.create_study(directions=[objective.direction for objective in objectives])
        for stored in history:
            self._remember(stored)

    def propose(self, number: int) -> tuple[BegunTrial | None, list[Refusal]]:
        """The next policy, begun, or None where none that meets the budgets is left; and what was refused.

        A proposal that is seen already teaches the sampler nothing; one that costs too much teaches it so.
        """
        refused: list[Refusal] = []
        for attempt in range(MAX_ASKS):
            self._reseed(number, attempt)
            trial = self._study.ask(self._distributions)
            codes = self._codes(trial.params)
            policy = self.known.resolved.policy(codes)
            violations = self._violations(policy)
            if tuple(codes.tolist()) in self.seen:
                self._study.tell(trial, state=TrialState.FAIL)
            elif any(excess > 0 for excess in violations.values()):
                for name, excess in violations.items():
                    trial.set_constraint(name, excess)
                self._study.tell(trial, state=TrialState.PRUNED)
                refused.append(Refusal(policy=policy, violations=violations, attributes=_notes(trial)))
            else:
                return self._begun(trial, number, policy, "sampler"), refused
        generator = np.random.default_rng([self._seed, number, MAX_ASKS])
        found = self.known.random_feasible(generator, self.budgets, self.seen)
        if found is None:
            return None, refused
        return self.begin(number, self.known.resolved.policy(found), "random"), refused

    def begin(self, number: int, policy: PrecisionPolicy, origin: Origin) -> BegunTrial:
        """Begin a trial of a policy that was not proposed: an anchor, or one that a killed process left."""
        codes = self.known.resolved.codes(policy)
        self._reseed(number, MAX_ASKS)
        self._study.enqueue_trial(self._params(codes))
        return self._begun(self._study.ask(self._distributions), number, policy, origin)

    def finish(self, record: TrialRecord) -> None:
        trial = self._running.pop(record.number)
        if not record.is_complete:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, excess in self.budgets.violations(record.costs, record.accuracy).items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, self._values(record))

    def has_seen(self, policy: PrecisionPolicy) -> bool:
        return tuple(self.known.resolved.codes(policy).tolist()) in self.seen

    def _begun(self, trial: Trial, number: int, policy: PrecisionPolicy, origin: Origin) -> BegunTrial:
        self._running[number] = trial
        self.seen.add(tuple(self.known.resolved.codes(policy).tolist()))
        return BegunTrial(number=number, policy=policy, origin=origin, attributes=_notes(trial))

    def _remember(self, stored: StoredTrial) -> None:
        codes = self.known.resolved.codes(stored.policy)
        record = stored.record
        if record is None:
            violations = self._violations(stored.policy)
            if all(excess <= 0 for excess in violations.values()):
                return  # refused under tighter budgets than today's: it may be proposed again
            state, values = TrialState.PRUNED, None
        else:
            self.seen.add(tuple(codes.tolist()))
            if not record.is_complete:
                return  # samplers make nothing of failures
            violations = self.budgets.violations(record.costs, record.accuracy)
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
        return self.budgets.cost_violations(self.known.costs(policy))

    def _values(self, record: TrialRecord) -> list[float]:
        return [getattr(record, objective.field) for objective in self.objectives]

    def _params(self, codes: Codes) -> dict[str, int]:
        choices = self.known.resolved.choices
        return {choice.name: int(code) for choice, code in zip(choices, codes, strict=True)}

    def _codes(self, params: Mapping[str, Any]) -> Codes:
        return np.array([params[choice.name] for choice in self.known.resolved.choices], dtype=np.int64)


def _notes(trial: Trial) -> dict[str, Any]:
    """What the sampler wrote on the trial (its generation, say) and will look for when the search goes on."""
    kept = trial.storage.get_trial_system_attrs(trial._trial_id)
    return {k: v for k, v in kept.items() if k != _ANY_FIXED and not k.startswith("constraints")}
