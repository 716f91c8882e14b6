"""The trials of a run that carry a name in every picture of it: the knee, 32 bits, all w8a8."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from mpsearch.errors import BudgetError
from mpsearch.precision.scheme import Scheme
from mpsearch.search.run import Run

LandmarkKind = Literal["knee", "best", "baseline", "uniform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmark:
    """A trial with a name; `kind` decides its symbol."""

    number: int
    kind: LandmarkKind
    label: str


def uniform_name(scheme: Scheme, width: float | None = None) -> str:
    """What the policy of that scheme in every layer is called, at a width where that is a choice."""
    name = "32-bit" if scheme.is_full_precision else f"all {scheme.name}"
    return name if width is None else f"{name} {width:g}x"


def answer_name(run: Run) -> str:
    """What the front's foremost trial is called: the knee of a trade-off, or the best in one objective."""
    if len(run.objectives) > 1:
        return "knee"
    is_missed = run.front.deciding is not None and not any(record.feasible for record in run.front.records)
    return "nearest to the budgets" if is_missed else "best"


def landmarks(run: Run) -> dict[int, Landmark]:
    """Trial number -> its landmark, most important kind first.

    `best` is the best trial under the budgets, where there are budgets and one meets them. Of one objective
    there is no knee: `best` is its best.
    """
    found: list[Landmark] = []
    if run.front.records and len(run.objectives) == 1 and not run.budgets:
        found.append(Landmark(number=run.front.best().number, kind="best", label="best"))
    if run.front.records and len(run.objectives) > 1:
        found.append(Landmark(number=run.front.knee().number, kind="knee", label="knee"))
    if run.budgets and run.front.records:
        with suppress(BudgetError):  # none meets them
            found.append(Landmark(number=run.front.best().number, kind="best", label="best under budget"))
    for record in run.records:
        scheme = record.policy.uniform_scheme
        if record.is_complete and scheme is not None:
            kind: LandmarkKind = "baseline" if scheme.is_full_precision else "uniform"
            found.append(
                Landmark(number=record.number, kind=kind, label=uniform_name(scheme, record.policy.width))
            )
    by_number: dict[int, Landmark] = {}
    order: tuple[LandmarkKind, ...] = ("knee", "best", "baseline", "uniform")
    for landmark in sorted(found, key=lambda landmark: order.index(landmark.kind)):
        earlier = by_number.get(landmark.number)
        label = landmark.label if earlier is None else f"{earlier.label}, {landmark.label}"
        kind = landmark.kind if earlier is None else earlier.kind
        by_number[landmark.number] = Landmark(number=landmark.number, kind=kind, label=label)
    return by_number
