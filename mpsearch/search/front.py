"""The non-dominated trials of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpsearch.errors import BudgetError, RunError
from mpsearch.pareto.dominance import non_dominated
from mpsearch.pareto.knee import knee_index
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.best_trial import best_of
from mpsearch.search.budgets import Budgets
from mpsearch.search.constrained import deciding_budgets, least_excess
from mpsearch.search.costs import Costs
from mpsearch.search.objective import Objective, all_objectives, minimised
from mpsearch.search.overrides import Overrides
from mpsearch.search.trial_record import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

ExportPoint = Callable[..., Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """One trial of a front, which knows how to export itself."""

    record: TrialRecord
    _export: ExportPoint

    @property
    def number(self) -> int:
        return self.record.number

    @property
    def policy(self) -> PrecisionPolicy:
        return self.record.policy

    @property
    def accuracy(self) -> float:
        return self.record.accuracy

    @property
    def costs(self) -> Costs:
        return self.record.costs

    def export(self, out: str | Path, *, format: str = "packed", **options: Any) -> Path:  # noqa: A002
        """Write this trial as a `packed` model or a `policy` file to `out`; see `Run.export`."""
        return self._export(self.number, out, format=format, **options)

    def __repr__(self) -> str:
        shown = all_objectives(self.costs.device_names).values()
        costs = ", ".join(f"{o.name} {o.format(o.of(self.record))}" for o in shown)
        return f"FrontPoint({self.number}: {costs})"


class Front:
    """The trials that no other trial of the run beats in every objective, fastest or smallest first.

    All complete trials that the overrides allow compete (where there is none, all complete ones), whether
    they meet the budgets or not: a budget asks for a point of the front, it does not move the front. Only
    with one objective, or none that is learnt, do budgets decide who competes (`deciding_budgets`): the front
    is then the answer within them. Trials with equal objectives are all kept.
    """

    def __init__(
        self,
        records: Sequence[TrialRecord],
        objectives: tuple[Objective, ...],
        budgets: Budgets,
        reference_point: Mapping[str, float],
        export: ExportPoint,
        *,
        view: Callable[[], str] | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        self.objectives = objectives
        self.budgets = budgets
        self.overrides = overrides or Overrides()
        self.reference_point = reference_point
        self._export = export
        self._view = view
        self.deciding = deciding_budgets(objectives, budgets)
        self._competing = competitors(records, self.overrides, self.deciding)
        self._allowed = competitors(records, self.overrides)
        kept = non_dominated(minimised(points_of(self._competing, objectives), objectives))
        members = [record for record, keep in zip(self._competing, kept, strict=True) if keep]
        order = [o for o in objectives if not o.is_learnt] or list(objectives)
        members.sort(key=lambda record: (*(o.of(record) for o in order), record.number))
        self.records = tuple(members)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[FrontPoint]:
        return (self._point(record) for record in self.records)

    def __getitem__(self, index: int) -> FrontPoint:
        return self._point(self.records[index])

    def __contains__(self, number: object) -> bool:
        """Whether the trial of that number is on the front."""
        return number in self.numbers

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Trial numbers, in the order of the front."""
        return tuple(record.number for record in self.records)

    def points(self) -> np.ndarray:
        """Objectives in natural units, (P, M), a row for each trial of `records`."""
        return points_of(self.records, self.objectives)

    def knee(self) -> FrontPoint:
        """The point from which any step along the front loses more than it gains, in shares of `box_shares`.

        Among the points that meet the budgets, where there are any; else among all.

        Raises: RunError if no trial is complete.
        """
        if not self.records:
            raise RunError(
                "A front needs a complete trial; this run has none. Continue it with `mpsearch search`."
            )
        feasible = [r for r in self.records if self._meets(r, self.budgets)]
        candidates = feasible or list(self.records)
        index = knee_index(box_shares(candidates, self.objectives, self.reference_point))
        return self._point(candidates[index])

    def best(self, budgets: Budgets | Mapping[str, Any] | None = None) -> FrontPoint:
        """The best complete trial under the budgets (default: the run's) and the run's overrides.

        The most accurate, or as `best_of` says for other objectives. Ties go to the fastest.

        Raises: BudgetError if no finished trial meets them.
        """
        bounds = self.budgets if budgets is None else budgets
        bounds = bounds if isinstance(bounds, Budgets) else Budgets.parse(bounds)
        best = best_of([r for r in self._allowed if self._meets(r, bounds)], self.objectives)
        if best is None:
            asked = str(bounds) if bounds or not self.overrides else ""
            also = f"{' with ' if asked else ''}{self.overrides}" if self.overrides else ""
            raise BudgetError(f"No finished trial meets {asked}{also}. Search on so, or loosen them.")
        return self._point(best)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a point: number, policy, the four objectives, feasible."""
        from mpsearch.search.tables import records_frame  # noqa: PLC0415 - pandas is slow to import

        return records_frame(self.records, self)

    def _meets(self, record: TrialRecord, budgets: Budgets) -> bool:
        is_met = budgets.are_met_by(record.costs, record.accuracy, record.loss)
        return is_met and self.overrides.allows(record.policy)

    def _point(self, record: TrialRecord) -> FrontPoint:
        return FrontPoint(record=record, _export=self._export)

    def __repr__(self) -> str:
        return f"Front({len(self)} trials: {', '.join(map(str, self.numbers))})"

    def _repr_html_(self) -> str | None:
        return None if self._view is None else self._view()


def competitors(
    records: Iterable[TrialRecord], overrides: Overrides, deciding: Budgets | None = None
) -> tuple[TrialRecord, ...]:
    """The trials that a front is made of: see `Front`. `deciding`: as `deciding_budgets`."""
    complete = tuple(record for record in records if record.is_complete)
    allowed = tuple(record for record in complete if overrides.allows(record.policy)) or complete
    return allowed if deciding is None else least_excess(allowed, deciding)


def points_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> np.ndarray:
    """Objectives in natural units, (P, M)."""
    rows = [[o.of(record) for o in objectives] for record in records]
    return np.array(rows, dtype=float).reshape(len(records), len(objectives))


def box_shares(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], reference: Mapping[str, float]
) -> np.ndarray:
    """Objectives to be minimised, (P, M), each scaled so that 0 is its ideal and 1 its reference point.

    The ideal is accuracy 1 at no cost.
    """
    points = points_of(records, objectives)
    for column, objective in enumerate(objectives):
        if objective.direction == "maximize":
            points[:, column] = 1 - points[:, column]
        else:
            points[:, column] /= reference[objective.name]
    return points
