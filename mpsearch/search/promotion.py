"""Which trial deserves more steps: asynchronous successive halving on a vector of objectives.

Source: Li et al. 2020, arXiv:1810.05934 (asynchronous successive halving); Schmucker et al. 2021,
arXiv:2106.12639 (the same with non-dominated sorting); Deb et al. 2002, 10.1109/4235.996017 (rank, crowding).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mpsearch.pareto.crowding import crowding_distance
from mpsearch.pareto.dominance import non_dominated
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.costs import Costs
from mpsearch.search.space import SearchSpace
from mpsearch.search.trial_record import Origin, Rung, TrialRecord
from mpsearch.training.recipe import LOW_BITS

Floats = NDArray[np.float64]
_SCORES = {"accuracy": "score", "loss": "loss"}  # objective -> field of a rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Climber:
    """A trial on its way through the fidelities; `rungs` are its scores so far, lowest first."""

    number: int
    policy: PrecisionPolicy
    costs: Costs
    origin: Origin
    rungs: tuple[Rung, ...]


class Ladder:
    """The rungs of a search: one for each fidelity below the full one, with the trials that scored there.

    A trial may go on once it is among the best floor(n / eta) of the n on its rung, by the rules of `order`
    and among trials of its regime only: short scores are biased against few bits. So nothing ever waits for
    the slowest. Those that have gone on count there as before. Uniform policies always go on, and take no
    places. A policy that costs more than a budget allows, or that overrides forbid, does not go on, and
    counts for nothing. All that an answer rests on is stored with the trials, so that a search that was
    killed goes on as if it had not been.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rungs: list[dict[float, _Group]] = [{} for _ in space.trial.fidelities[:-1]]
        self._waiting: dict[int, Climber] = {}

    @property
    def waiting(self) -> Mapping[int, Climber]:
        """The trials that have scored at a lower fidelity and do not run, by number."""
        return self._waiting

    def enter(self, climber: Climber, *, waits: bool) -> None:
        """Take note of a trial's rungs; one that does not wait has ended or runs."""
        regime = regime_of(climber.policy)
        for rung, groups in zip(climber.rungs, self._rungs, strict=False):
            groups.setdefault(regime, _Group(self._space)).add(climber, rung)
        if waits and climber.rungs:
            self._waiting[climber.number] = climber

    def remember(self, record: TrialRecord) -> None:
        """Take note of a trial that has ended."""
        climber = Climber(
            number=record.number,
            policy=record.policy,
            costs=record.costs,
            origin=record.origin,
            rungs=record.rungs,
        )
        self.enter(climber, waits=False)
        if record.is_stopped:
            self.stop(record.number)

    def leave(self, number: int) -> Climber:
        """A waiting trial goes on."""
        return self._waiting.pop(number)

    def stop(self, number: int) -> None:
        """A trial is stopped: it counts on its rungs, and takes no place of one that may go on."""
        self._waiting.pop(number, None)
        for groups in self._rungs:
            for group in groups.values():
                group.stop(number)

    def anchor(self) -> Climber | None:
        """The waiting uniform policy that goes on first: they are what others are compared with."""
        waiting = sorted(self._waiting.values(), key=lambda climber: (-len(climber.rungs), climber.number))
        allows = self._space.overrides.allows
        return next((c for c in waiting if c.origin == "anchor" and allows(c.policy)), None)

    def deserving(self) -> Climber | None:
        """The waiting trial that should go on first: of the highest rung, then an anchor, then the best."""
        for place in reversed(range(len(self._rungs))):
            here = [climber for climber in self._waiting.values() if len(climber.rungs) == place + 1]
            anchors = [
                climber.number
                for climber in here
                if climber.origin == "anchor" and self._space.overrides.allows(climber.policy)
            ]
            if anchors:
                return self._waiting[min(anchors)]
            for regime in sorted({regime_of(climber.policy) for climber in here}):
                for number in self._rungs[place][regime].best(self._space.trial.reduction):
                    climber = self._waiting.get(number)
                    if climber is not None and len(climber.rungs) == place + 1:
                        return climber
        return None


class _Group:
    """The trials of one regime on one rung."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._points: dict[int, list[float]] = {}
        self._feasible: dict[int, bool] = {}
        self._competing: set[int] = set()  # those that take a place, or would
        self._stopped: set[int] = set()
        self._best: list[int] | None = None

    def add(self, climber: Climber, rung: Rung) -> None:
        space, number = self._space, climber.number
        excess = space.budgets.cost_violations(climber.costs).values()
        is_wanted = space.overrides.allows(climber.policy) and all(value <= 0 for value in excess)
        if number in self._points or not (is_wanted or climber.origin == "anchor"):
            return
        self._points[number] = [
            o.sign * (getattr(rung, _SCORES[o.name]) if o.is_learnt else o.of(climber.costs))
            for o in space.objectives
        ]
        self._feasible[number] = is_wanted and space.budgets.are_met_by(climber.costs, rung.score, rung.loss)
        if climber.origin != "anchor":
            self._competing.add(number)
        self._best = None

    def stop(self, number: int) -> None:
        if number in self._points:
            self._stopped.add(number)
            self._best = None

    def best(self, reduction: int) -> list[int]:
        """The trials that may go on or have gone on, best first."""
        if self._best is None:
            room = len(self._competing) // reduction
            self._best = self._chosen(room) if room else []
        return self._best

    def _chosen(self, room: int) -> list[int]:
        numbers = sorted(self._points)
        points = np.array([self._points[number] for number in numbers])
        is_feasible = np.array([self._feasible[number] for number in numbers])
        may = np.array([number in self._competing and number not in self._stopped for number in numbers])
        return list(islice((numbers[place] for place in order(points, is_feasible) if may[place]), room))


def regime_of(policy: PrecisionPolicy) -> float:
    """The lowest weight bits: 1, 1.58, or 2 for all that are only adjusted."""
    return float(min(LOW_BITS, *(scheme.weight_bits for scheme in policy.values())))


def order(points: Floats, is_feasible: NDArray[np.bool_]) -> Iterator[int]:
    """Places of points from best to worst: feasible first, by non-dominated rank, by crowding, by place.

    Shape: points (P, M), all minimised; is_feasible (P,).
    """
    for members in (np.flatnonzero(is_feasible), np.flatnonzero(~is_feasible)):
        left = members
        while len(left):
            front = non_dominated(points[left])
            layer = left[front]
            crowding = crowding_distance(points[layer])
            yield from layer[np.lexsort((layer, -crowding))].tolist()
            left = left[~front]
