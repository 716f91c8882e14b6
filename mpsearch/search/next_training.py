"""Which training is worth most: a new policy, one that waits at a lower fidelity, or another seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.fidelity_link import FidelityLink, Pair, fidelity_link
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.learnt_scale import LearntScale, learnt_scale
from mpsearch.search.objective import learnt_of
from mpsearch.search.objective_box import Box
from mpsearch.search.observations import Estimate, Observations
from mpsearch.search.promotion import Climber, regime_of
from mpsearch.search.repeated_trials import PolicyScores
from mpsearch.search.sampler_memory import best_first
from mpsearch.search.space import SearchSpace
from mpsearch.search.training_effort import training_effort
from mpsearch.search.trial_record import Rung, TrialRecord
from mpsearch.training.recipe import TrialRecipe

if TYPE_CHECKING:
    from mpsearch.search.prospects import Prospects

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST_SCORED = 8  # policies with a score in full, before expectations are worth comparing
MOST_OBSERVED = 400  # trainings that the surrogate is learnt from: the latest, and those of the best policies


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchState:
    """What has ended (`records`, each training), what waits, and policies that run (`repeated`: again)."""

    records: Sequence[TrialRecord]
    scores: PolicyScores
    waiting: Mapping[int, Climber] = field(default_factory=dict)
    running: Collection[PrecisionPolicy] = ()
    repeated: Collection[PrecisionPolicy] = ()


def next_training_of(
    space: SearchSpace,
    knowledge: Knowledge | None,
    reference: Mapping[str, float],
    codes_of: Callable[[PrecisionPolicy], Codes],
) -> NextTraining | None:
    """For the sampler that knows the costs, where a score is among the objectives; None for any other.

    `reference` as `Run.reference_point`.
    """
    learnt = learnt_of(space.objectives)
    if space.search.sampler != "mpsearch" or knowledge is None or learnt is None:
        return None
    worst = reference[learnt.name]
    costs = [reference[objective.name] for objective in space.objectives if not objective.is_learnt]
    return NextTraining(
        knowledge,
        space.trial,
        Box(
            reference_loss=1 - worst if learnt.direction == "maximize" else worst,
            reference_costs=np.array(costs),
        ),
        codes_of=codes_of,
        may_repeat=space.search.repeats == "auto",
    )


class NextTraining:
    """Compares by `Prospects` for the effort that trainings take: see `choose`.

    A score at a lower fidelity is translated into what it lets expect in full before it is compared, for each
    bit regime by what trials of that regime gained (`FidelityLink`): few bits are not pruned for being slow.
    `codes_of` is that of the search; `may_repeat`: whether further seeds are considered.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        recipe: TrialRecipe,
        box: Box,
        *,
        codes_of: Callable[[PrecisionPolicy], Codes],
        may_repeat: bool,
    ) -> None:
        self._knowledge = knowledge
        self._recipe = recipe
        self._box = box
        self._codes_of = codes_of
        self._may_repeat = may_repeat

    def is_ready(self, state: SearchState) -> bool:
        """Whether there are scores enough to say what to expect."""
        return len(state.scores.records) >= LEAST_SCORED

    def choose(self, state: SearchState, new: PrecisionPolicy | None) -> Climber | TrialRecord | None:
        """The waiting trial that should go on, or the policy that should be trained again; None for `new`.

        Without `new` none may begin. A trial goes on then if it is worth more than a further seed of a policy
        that has a score would be: what that is worth is what noise is.
        """
        prospects = self._prospects(state)
        best: Climber | TrialRecord | None = None
        least = 0.0
        if new is not None:
            least = float(prospects.of_policies(self._codes([new]))[0]) / self._effort(new, 0)
        if new is None or self._may_repeat:
            seeds = self._contested(prospects, state)
            if seeds is not None and seeds[0] > least:
                least = seeds[0]
                best = None if new is None else seeds[1]
        waiting = list(state.waiting.values())
        codes = self._codes(climber.policy for climber in waiting)
        worths = np.where(self._knowledge.policies.feasible(codes), prospects.of_policies(codes), 0.0)
        for climber, worth in zip(waiting, worths.tolist(), strict=True):
            rate = worth / self._effort(climber.policy, len(climber.rungs))
            if rate > least:
                least, best = rate, climber
        return best

    def estimates(self, state: SearchState) -> dict[int, Estimate]:
        """By number: what trials that wait or were stopped let expect in full."""
        lower = {climber.number: (climber.policy, climber.rungs[-1]) for climber in state.waiting.values()}
        lower |= {r.number: (r.policy, r.rungs[-1]) for r in state.records if r.is_stopped}
        if not lower:
            return {}
        scale = self._scale(state)
        links = self.links(state.records, scale)
        return {n: self._estimate(policy, rung, links, scale) for n, (policy, rung) in lower.items()}

    def _effort(self, policy: PrecisionPolicy, rungs: int) -> float:
        """What is left of all fidelities for a trial that has so many rungs."""
        left = self._recipe.fidelities[rungs:]
        samples = self._knowledge.samples
        return sum(training_effort(self._recipe, policy, share, samples=samples) for share in left)

    def _contested(self, prospects: Prospects, state: SearchState) -> tuple[float, TrialRecord] | None:
        """What effort for the policy whose further seed is worth most is worth, and its record."""
        by_codes = {tuple(self._codes_of(r.policy).tolist()): r for r in state.scores.records}
        # A seed that failed taught nothing: the next one would look as good, until failures end the search.
        left_out = {*state.repeated, *(record.policy for record in state.records if record.is_failed)}
        for codes, worth in zip(*prospects.of_seeds(), strict=True):
            record = by_codes[tuple(codes.tolist())]
            is_seeded = not record.policy.is_full_precision  # which is not trained
            if is_seeded and record.policy not in left_out:
                return float(worth) / self._effort(record.policy, len(self._recipe.fidelities) - 1), record
        return None

    def _prospects(self, state: SearchState) -> Prospects:
        from mpsearch.search.prospects import Prospects  # noqa: PLC0415 - scipy is slow to import

        complete = self._most_telling([record for record in state.records if record.is_complete])
        of_number = {climber.number: climber.policy for climber in state.waiting.values()}
        of_number |= {record.number: record.policy for record in state.records if record.is_stopped}
        estimates = self.estimates(state)
        latest = sorted(estimates)[-MOST_OBSERVED:]
        observations = Observations(
            codes=self._codes([*(r.policy for r in complete), *(of_number[number] for number in latest)]),
            scores=np.array([*map(self._learnt, complete), *(estimates[n].score for n in latest)]),
            variances=np.array([*(0.0 for _ in complete), *(estimates[n].variance for n in latest)]),
        )
        running = self._codes(sorted(state.running, key=str))
        return Prospects(self._knowledge, observations, self._box, running=running)

    def _scale(self, state: SearchState) -> LearntScale:
        return learnt_scale(
            np.array([self._learnt(record) for record in state.records if record.is_complete]),
            is_maximized=self._knowledge.policies.is_maximized,
        )

    def _most_telling(self, complete: list[TrialRecord]) -> list[TrialRecord]:
        """All trainings of a short search; of a long one half the latest, half those nearest to the front."""
        if len(complete) <= MOST_OBSERVED:
            return complete
        policies = self._knowledge.policies
        losses = np.array([self._learnt(record) for record in complete])
        columns = [column for column in policies.objectives if column is not None]
        costs = policies.evaluate(self._codes(record.policy for record in complete))[:, columns]
        points = np.column_stack((-losses if policies.is_maximized else losses, costs))
        latest = range(len(complete) - MOST_OBSERVED // 2, len(complete))
        chosen = {*best_first(points)[: MOST_OBSERVED // 2].tolist(), *latest}
        return [complete[place] for place in sorted(chosen)]

    def links(
        self, records: Iterable[TrialRecord], scale: LearntScale
    ) -> dict[tuple[float, float], FidelityLink]:
        """(regime, share) -> what scores in full follow from those after that share of the steps."""
        pairs: dict[tuple[float, float], list[Pair]] = defaultdict(list)
        for record in records:
            for rung in record.rungs if record.is_complete else ():
                lower, full = self._latent([self._learnt(rung), self._learnt(record)], scale)
                pairs[regime_of(record.policy), rung.share].append(Pair(lower=lower, full=full))
        return {key: fidelity_link(found) for key, found in pairs.items()}

    def _estimate(
        self,
        policy: PrecisionPolicy,
        rung: Rung,
        links: Mapping[tuple[float, float], FidelityLink],
        scale: LearntScale,
    ) -> Estimate:
        """The score in full that a rung lets expect."""
        link = links.get((regime_of(policy), rung.share)) or fidelity_link(())
        mean, variance = link.expected(self._latent([self._learnt(rung)], scale)[0])
        loss = scale.inverse(np.array([mean]))
        slope = scale.scale.slope(scale.clipped(loss, self._knowledge.samples))
        score = scale.losses(loss)  # its own inverse
        return Estimate(score=float(score[0]), variance=variance / float(slope[0]) ** 2)

    def _latent(self, scores: Sequence[float], scale: LearntScale) -> list[float]:
        latent: list[float] = scale.latent(scale.losses(np.array(scores)), self._knowledge.samples).tolist()
        return latent

    def _learnt(self, scored: TrialRecord | Rung) -> float:
        learnt = scored.score if self._knowledge.policies.is_maximized else scored.loss
        assert learnt is not None
        return learnt

    def _codes(self, policies: Iterable[PrecisionPolicy]) -> Codes:
        rows = [self._codes_of(policy) for policy in policies]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self._knowledge.policies.sizes))
