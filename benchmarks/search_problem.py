"""What a sampler is asked on a table: policies whose costs it may know, and the front that it must find."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import moocore
import numpy as np
from numpy.typing import NDArray
from search_costs import Costs, columns_of
from search_policy_table import PolicyTable

from mpsearch.errors import ConfigError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.precision.scheme import scheme_named
from mpsearch.search.known_policies import KnownPolicies
from mpsearch.search.nearest import did_you_mean

Floats = NDArray[np.float64]

SCORE = "accuracy"
COLUMNS = {"latency": "latency_s", "memory": "memory_bytes", "energy": "energy_j"}
USUAL = (SCORE, "latency", "memory")
REFERENCES = ("table", "front", "search")
USUAL_REFERENCE = "table"
MARGIN = 0.1
# What a budget leaves of each cost's range, from the cheapest policy to the costliest of the front.
BUDGET_SHARES = (0.1, 0.25, 0.4, 0.55, 0.7)
_STEP = 0.05
SHARES = (0.95, 0.98, 0.99, 0.995)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A table under costs: `objectives` name the score and costs, in the order of a study.

    `known_costs` (P, K) are those of all policies where they are not the sums of `costs`.

    A front is judged by the mean scores of its policies over their seeds: its hypervolume as a share of that
    of the exact front, which is that of all policies. Reference points, from which it is measured:

    table   the worst of any policy in each objective
    front   what the exact front's worst is in each objective, and a tenth of the front's range beyond
            (Ishibuchi et al. 2018, 10.1162/evco_a_00226): single policies, which the noise of the mean
            scores has put on the front, weigh more
    search  accuracy 0 and 1.1 times the greatest costs, as `mpsearch search` has it: most of the volume is
            what nearly any policy dominates

    Where all policies of the front share a value of an objective, its range is that of the table.
    Raises: ConfigError if an objective or the reference is unknown, or the score is not among the objectives.
    """

    table: PolicyTable
    costs: Costs
    objectives: tuple[str, ...] = USUAL
    reference: str = USUAL_REFERENCE
    known_costs: Floats | None = None

    def __post_init__(self) -> None:
        known = (SCORE, *(self._short_name(column) for column in columns_of(self.costs)))
        unknown = [name for name in self.objectives if name not in known]
        if unknown:
            raise ConfigError(
                f"An objective of table {self.table.name!r} must be one of {', '.join(known)}; got "
                f"{unknown[0]!r}.{did_you_mean(unknown[0], known)}"
            )
        if self.objectives.count(SCORE) != 1 or len(set(self.objectives)) != len(self.objectives):
            raise ConfigError(
                f"Objectives must be {SCORE!r} and costs, each once; got {', '.join(self.objectives)}."
            )
        if self.reference not in REFERENCES:
            raise ConfigError(f"A reference must be one of {', '.join(REFERENCES)}; got {self.reference!r}.")

    @cached_property
    def policies(self) -> KnownPolicies:
        """As samplers take it, without budgets."""
        return self.bounded(None)

    def bounded(self, bounds: Sequence[float] | None) -> KnownPolicies:
        """The policies for a search of all objectives; with bounds (K,), for the best score within them."""
        columns = columns_of(self.costs)
        names = [self._short_name(column) for column in columns]
        return KnownPolicies.of_tables(
            {
                choice: {
                    scheme_named(scheme): [entry[column] for column in columns]
                    for scheme, entry in of_schemes.items()
                }
                for choice, of_schemes in self.costs.items()
            },
            columns,
            objectives=(None,)
            if bounds is not None
            else tuple(None if name == SCORE else names.index(name) for name in self.objectives),
            bounds=bounds,
        )

    @cached_property
    def all_costs(self) -> Floats:
        """Shape: (P, K)."""
        if self.known_costs is not None:
            return self.known_costs
        return self.policies.evaluate(self.table.codes)

    def points(self, scores: Floats, rows: NDArray[np.int64]) -> Floats:
        """Of policies with such scores, all minimised. Shape: scores (N,), rows (N,) -> (N, M)."""
        places = self.policies.objectives
        return np.column_stack(
            [1.0 - scores if place is None else self.all_costs[rows, place] for place in places]
        )

    @cached_property
    def judged(self) -> Floats:
        """The points of all policies by their mean scores, as shares of the way to the reference, (P, M)."""
        points = self.points(self.table.mean_scores, np.arange(len(self.table.codes)))
        front = points[non_dominated(points)]
        best, corner = front.min(axis=0), self._corner(points, front)
        return (points - best) / (corner - best)

    @cached_property
    def exact(self) -> float:
        """The hypervolume of all policies, in boxes from the ideal to the reference point.

        Raises: RuntimeError if an independent library finds another one.
        """
        front = self.front
        found = hypervolume(front, np.ones(front.shape[1]))
        other = float(moocore.hypervolume(front, ref=np.ones(front.shape[1])))
        if not np.isclose(found, other, rtol=1e-9):
            raise RuntimeError(f"The exact hypervolume is {found} here, and {other} by moocore.")
        return found

    @cached_property
    def front(self) -> Floats:
        """The exact front's points, as `judged`."""
        return np.unique(self.judged[non_dominated(self.judged)], axis=0)

    @cached_property
    def greedy_shares(self) -> Floats:
        """The share after 1, 2, ... policies for who knows all scores: the one that adds most is the next.

        Up to the last of `SHARES`. What a policy adds never grows with those taken before it, so only those
        that could still add most are looked at again (Minoux 1978, 10.1007/BFb0006528).
        """
        corner = np.ones(self.front.shape[1])
        waiting = [(-hypervolume(point[None], corner), place) for place, point in enumerate(self.front)]
        heapq.heapify(waiting)
        taken: list[int] = []
        volumes = [0.0]
        while waiting and volumes[-1] < SHARES[-1] * self.exact:
            _, place = heapq.heappop(waiting)
            volume = hypervolume(self.front[[*taken, place]], corner)
            if waiting and volumes[-1] - volume > waiting[0][0]:
                heapq.heappush(waiting, (volumes[-1] - volume, place))
                continue
            taken.append(place)
            volumes.append(volume)
        return np.array(volumes[1:]) / self.exact

    def share(self, rows: NDArray[np.int64]) -> float:
        """Of the exact hypervolume, what these policies dominate."""
        return hypervolume(self.judged[rows], np.ones(self.judged.shape[1])) / self.exact

    @cached_property
    def budgets(self) -> Floats:
        """Bounds on the costs that are objectives, inf for others. Shape: (B, K).

        Each cost may be so much of the way from its least to the greatest of the front, or a twentieth more
        until a policy meets all of them.
        """
        used = [place for place in self.policies.objectives if place is not None]
        least = self.all_costs.min(axis=0)
        greatest = self.all_costs[non_dominated(self.judged)].max(axis=0)
        bounds = np.full((len(BUDGET_SHARES), self.all_costs.shape[1]), np.inf)
        for row, first in enumerate(BUDGET_SHARES):
            for share in np.arange(first, 1.0 + _STEP, _STEP):
                bounds[row, used] = (least + share * (greatest - least))[used]
                if (self.all_costs <= bounds[row]).all(axis=1).any():
                    break
        return bounds

    def best_score(self, bounds: Floats) -> float:
        """Of all policies within the bounds, by mean scores."""
        within = (self.all_costs <= bounds).all(axis=1)
        return float(self.table.mean_scores[within].max())

    def _corner(self, points: Floats, front: Floats) -> Floats:
        if self.reference == "search":
            return np.where(
                [place is None for place in self.policies.objectives], 1.0, 1.1 * points.max(axis=0)
            )
        worst: Floats = points.max(axis=0)
        if self.reference == "table":
            return np.where(worst > front.min(axis=0), worst, worst + 1.0)
        ranges = np.ptp(front, axis=0)
        ranges = np.where(ranges > 0, ranges, np.ptp(points, axis=0))
        ranges = np.where(ranges > 0, ranges, 1.0)
        return np.asarray(front.max(axis=0) + MARGIN * ranges)

    @staticmethod
    def _short_name(column: str) -> str:
        return next((name for name, known in COLUMNS.items() if known == column), column)


class Progress:
    """The share of the exact hypervolume as policies are trained one after the other."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._front = np.empty((0, problem.judged.shape[1]))
        self.share = 0.0

    def add(self, row: int) -> float:
        """The share with one more policy; nothing is computed where another one is as good in everything."""
        point = self._problem.judged[row]
        if not (self._front <= point).all(axis=1).any():
            front = np.vstack([self._front, point])
            self._front = front[non_dominated(front)]
            corner = np.ones(self._front.shape[1])
            self.share = hypervolume(self._front, corner) / self._problem.exact
        return self.share


def usual_objectives(costs: Costs) -> tuple[str, ...]:
    """Accuracy, latency and memory, as spaces have it; all costs where a table has neither of these two."""
    columns = columns_of(costs)
    found = tuple(name for name in USUAL if name == SCORE or COLUMNS[name] in columns)
    return found if len(found) > 1 else (SCORE, *columns)
