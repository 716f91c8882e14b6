"""What a sampler is told: all trials of a short search, of a long one the front, the best and the recent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from mpsearch.pareto.crowding import crowding_distance
from mpsearch.pareto.dominance import non_dominated
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.nsga2_sampler import join_generation
from mpsearch.search.objective import Direction
from mpsearch.search.observations import ESTIMATE, Estimate
from mpsearch.search.samplers import GENERATION, KEPT_GENERATIONS, SamplerFactory, aged
from mpsearch.search.study import quiet_optuna

# Optuna's notes that say nothing new: what a trial breaks is judged anew, its parameters are known.
_NOT_KEPT = ("constraints", "fixed_params", "tpe:relative_params", "gp:relative_params", ESTIMATE)

Params = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTrial:
    """A trial that has ended, as a sampler sees it; without `values` it was refused or stopped early.

    `order`: the number of the trial; half a number less for a policy that was refused in search of it.
    """

    order: float
    params: Params
    values: tuple[float, ...] | None
    violations: Mapping[str, float]
    notes: Mapping[str, Any]


class SamplerMemory:
    """A study in memory that a sampler works on, made anew now and then where it would grow too long.

    Up to `sampler.most_told` trials are all told. Beyond, at each tenth of that number: half are the front
    and what lies least behind it, the rest the most recent (scored ones first), as `chosen` has it; what ends
    until the next time is told too. What is told follows from the trials and their order alone, so that a
    search that was killed goes on as if it had not been. Where trials may overtake each other although one
    worker runs them (`is_reordered`), they are told in the order of their numbers, anew for each proposal.

    Running trials are always told, by the numbers that `begin` and `keep` give them. `directions` are
    Optuna's words; `notes` are what the sampler wrote on a trial (its generation, say) and will look for when
    the search goes on. `knowledge` is what the sampler is made with.
    """

    def __init__(
        self,
        directions: Sequence[Direction],
        distributions: Mapping[str, BaseDistribution],
        sampler: SamplerFactory,
        history: Iterable[ToldTrial] = (),
        *,
        knowledge: Knowledge | None = None,
        is_reordered: bool = False,
    ) -> None:
        self._knowledge = knowledge
        self._is_reordered = is_reordered
        self._directions = list(directions)
        self._signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
        self._distributions = dict(distributions)
        self._sampler = sampler
        self._told = list(history)
        self._estimates: dict[int, dict[str, Any]] = {}
        self._running: dict[int, tuple[int, Params, dict[str, Any]]] = {}  # number -> place in the study
        self._start_anew()

    def ask(self, seed: int) -> Params:
        """A proposal; `keep` or `drop` must be called next."""
        if self._due != self._chosen_of or self._is_reordered:
            self._start_anew()
        self._study.sampler = self._sampler(seed, self._knowledge)
        trial = self._study.ask(self._distributions)
        self._asked = trial.number
        return trial.params

    def keep(self, number: int) -> dict[str, Any]:
        """Let the last proposal run as trial `number`; returns the notes on it."""
        trial = self._study.get_trials(deepcopy=False)[self._asked]
        notes = self._notes(trial)
        self._running[number] = trial.number, trial.params, notes
        return notes

    def drop(self) -> dict[str, Any]:
        """Let the last proposal not run; returns the notes on it."""
        notes = self._notes(self._study.get_trials(deepcopy=False)[self._asked])
        self._study.tell(self._asked, state=TrialState.FAIL)
        return notes

    def begin(self, number: int, params: Params, seed: int) -> dict[str, Any]:
        """Let trial `number` run that was not proposed; returns the notes on it."""
        if self._is_reordered:
            self._start_anew()
        self._study.sampler = self._sampler(seed, self._knowledge)
        place = self._add_running(params, {})
        join_generation(self._study, place)
        notes = self._notes(self._study.get_trials(deepcopy=False)[place])
        self._running[number] = place, params, notes
        return notes

    def resume(self, number: int, params: Params, notes: Mapping[str, Any]) -> None:
        """Let trial `number` run with the notes that it has, unless it does already."""
        if number not in self._running:
            self._running[number] = self._add_running(params, notes), params, dict(notes)

    def runs(self, number: int) -> bool:
        return number in self._running

    def end(self, number: int) -> dict[str, Any]:
        """Trial `number` runs no longer; returns the notes on it, none where it was begun elsewhere."""
        if number not in self._running:
            return {}
        place, _, notes = self._running.pop(number)
        self._study.tell(place, state=TrialState.FAIL)
        return notes

    def withdraw(self, number: int) -> None:
        """Trial `number` runs no longer, and is as if it had never been: its policy may be proposed again."""
        self._running.pop(number, None)
        self._start_anew()

    def expect(self, estimates: Mapping[int, Estimate]) -> None:
        """What shorter fidelities let expect of trials that run or were stopped, by number; from now on.

        The next proposal knows, where trials are told anew for each (`is_reordered`).
        """
        self._estimates = {
            number: {ESTIMATE: [estimate.score, estimate.variance]} for number, estimate in estimates.items()
        }

    def tell(self, trial: ToldTrial) -> None:
        """A trial has ended, with values or without: it counts from now on."""
        self._told.append(trial)
        self._add(trial)

    @property
    def _due(self) -> int:
        """How many of the trials the choice must rest on; 0 where all are told."""
        step = max(1, self._sampler.most_told // 10)
        return 0 if len(self._told) <= self._sampler.most_told else len(self._told) // step * step

    def _start_anew(self) -> None:
        if self._is_reordered:
            self._told.sort(key=lambda trial: trial.order)
            self._running = dict(sorted(self._running.items()))
        self._chosen_of = self._due
        before, after = self._told[: self._chosen_of], self._told[self._chosen_of :]
        generations = [trial.notes[GENERATION] for trial in before if GENERATION in trial.notes]
        self._age = max(0, max(generations, default=0) - KEPT_GENERATIONS)
        with quiet_optuna():
            self._study = optuna.create_study(directions=self._directions)
        kept = [before[place] for place in chosen(before, self._signs, self._sampler.most_told)]
        for trial in (*kept, *after):
            self._add(trial)
        for number, (_, params, notes) in list(self._running.items()):
            place = self._add_running(params, {**notes, **self._estimates.get(number, {})})
            self._running[number] = place, params, notes

    def _add(self, trial: ToldTrial) -> None:
        self._study.add_trial(
            create_trial(
                state=TrialState.PRUNED if trial.values is None else TrialState.COMPLETE,
                values=trial.values,
                params=dict(trial.params),
                distributions=self._distributions,
                constraints=dict(trial.violations),
                system_attrs=aged({**trial.notes, **self._estimates.get(int(trial.order), {})}, self._age),
            )
        )

    def _add_running(self, params: Params, notes: Mapping[str, Any]) -> int:
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(params),
                distributions=self._distributions,
                system_attrs=aged(notes, self._age),
            )
        )
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _notes(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        return aged(kept_notes(trial.system_attrs), -self._age)


def kept_notes(notes: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler will look for when the search goes on, of all that it wrote on a trial."""
    return {key: value for key, value in notes.items() if not key.startswith(_NOT_KEPT)}


def chosen(trials: Sequence[ToldTrial], signs: NDArray[np.float64], most: int) -> list[int]:
    """Places of the trials that are told where there are more than `most`, in their order.

    Half of them: scored trials within budgets and overrides, those of the front first, then by how little
    they lie behind it; then those that break them least. A quarter: the most recent that have a score. The
    others: the most recent of all.

    Shape: signs (M,) make objectives ones to be minimised.
    """
    if len(trials) <= most:
        return list(range(len(trials)))
    scored = [place for place, trial in enumerate(trials) if trial.values is not None]
    excess = {place: sum(max(0.0, v) for v in trials[place].violations.values()) for place in scored}
    within = [place for place in scored if excess[place] == 0]
    beyond = sorted(set(scored) - set(within), key=lambda place: (excess[place], -place))
    points = np.array([trials[place].values for place in within]).reshape(len(within), len(signs)) * signs
    best = [within[row] for row in best_first(points)]
    kept: set[int] = set()
    for places, room in (
        ([*best, *beyond], most // 2),
        (reversed(scored), most // 2 + most // 4),
        (reversed(range(len(trials))), most),
    ):
        for place in places:
            if len(kept) >= room:
                break
            kept.add(place)
    return sorted(kept)


def best_first(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The front first, its most isolated points before the crowded; the others by additive epsilon to it.

    Epsilon is the share of an objective's range that a point would have to be given to be on the front; of
    equals the later come first.

    Shape: points (P, M), to be minimised -> row numbers (P,).
    Source: epsilon: Zitzler et al. 2003, 10.1109/TEVC.2003.810758; crowding distance: Deb et al. 2002,
    10.1109/4235.996017.
    """
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    least, greatest = points.min(axis=0), points.max(axis=0)
    shares = (points - least) / np.where(greatest > least, greatest - least, 1.0)
    is_front = non_dominated(shares)
    front = shares[is_front]
    behind = np.full(len(shares), np.inf)
    for member in front:
        np.minimum(behind, (shares - member).max(axis=1), out=behind)
    crowding = np.zeros(len(shares))
    crowding[is_front] = crowding_distance(front)
    order: NDArray[np.int64] = np.lexsort((-np.arange(len(shares)), -crowding, behind))
    return order
