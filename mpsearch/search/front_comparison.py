"""Fronts of several runs against each other: what may be compared, and how they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpsearch.errors import ConfigError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.pareto.dominance import dominates, non_dominated
from mpsearch.pareto.hypervolume import hypervolume
from mpsearch.search.best_trial import best_of
from mpsearch.search.front import box_shares, competitors, points_of
from mpsearch.search.objective import Objective, first_cost, learnt_of, minimised
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_BUDGETS = 4  # for each cost


@dataclass(frozen=True, slots=True, kw_only=True)
class BestAtBudget:
    """The best trial of each run that costs at most `bound`; None where none does."""

    objective: Objective
    bound: float
    best: tuple[TrialRecord | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontComparison:
    """How the fronts of `runs` stand in the `objectives` that all of them share and measure alike.

    `obstacles`: why objectives were left out; `differences`: what else differs, which a reader should know.
    `fronts`: of each run, its trials that none of its others beats in `objectives`; as in `Front`, only those
    that its overrides allow compete.
    `hypervolumes`: share of the box from `reference_point` (the greatest cost that any of the runs can reach)
    to accuracy 1 at no cost. `coverage[i][j]`: share of front j that some trial of front i beats; i = j is 0.
    All of these are empty where what is learnt or all costs had to be left out.
    """

    runs: tuple[Run, ...]
    obstacles: tuple[str, ...]
    differences: tuple[str, ...]
    objectives: tuple[Objective, ...]
    reference_point: dict[str, float]
    fronts: tuple[tuple[TrialRecord, ...], ...]
    hypervolumes: tuple[float, ...]
    coverage: tuple[tuple[float, ...], ...]
    budgets: tuple[BestAtBudget, ...]


def compare_fronts(runs: Sequence[Run]) -> FrontComparison:
    """Raises: ConfigError for fewer than two runs."""
    if len(runs) < 2:
        raise ConfigError(f"A comparison of fronts needs at least two runs; got {len(runs)}.")
    objectives, obstacles = _comparable_objectives(runs)
    is_whole = all(run.objectives == objectives for run in runs)  # nothing had to be left out
    is_possible = is_whole or (len(objectives) > 1 and learnt_of(objectives) is not None)
    if not is_possible:
        objectives = ()
    reference = {o.name: max(run.reference_point[o.name] for run in runs) for o in objectives}
    fronts = tuple(_front(run, objectives) for run in runs) if is_possible else ()
    return FrontComparison(
        runs=tuple(runs),
        obstacles=obstacles,
        differences=_differences(runs),
        objectives=objectives,
        reference_point=reference,
        fronts=fronts,
        hypervolumes=tuple(_share(front, objectives, reference) for front in fronts),
        coverage=tuple(
            tuple(0.0 if i == j else _coverage(first, second, objectives) for j, second in enumerate(fronts))
            for i, first in enumerate(fronts)
        ),
        budgets=_best_at_budgets(runs, fronts, objectives),
    )


def _comparable_objectives(runs: Sequence[Run]) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """The objectives that all runs share and that mean the same in each; and why others do not."""
    shared = [o for o in runs[0].objectives if all(o in run.objectives for run in runs)]
    obstacles = []
    missing = {o.name for run in runs for o in run.objectives} - {o.name for o in shared}
    if missing:
        obstacles.append(f"not every run has {' and '.join(sorted(missing))} as an objective")
    tasks = {(t.name, repr(sorted(t.args.items()))) for t in (run.space.task.wherever() for run in runs)}
    if len(tasks) > 1 or len({(run.metric, run.validation_samples) for run in runs}) > 1:
        obstacles.append("tasks or validation samples differ: accuracies mean different things")
        shared = [o for o in shared if not o.is_learnt]
    for device in dict.fromkeys((None, *(o.device for o in shared))):
        profiles = [_profile(run, device) for run in runs]
        whose = "" if device is None else f" behind @{device}"
        machines = {_machine(profile) for profile in profiles}
        if len(machines) > 1:
            listed = " and ".join(sorted(f"{cpu}, {isa}, {count} thread(s)" for cpu, isa, count in machines))
            obstacles.append(f"latencies{whose} are of different machines ({listed})")
            shared = [o for o in shared if o.unit != "s" or o.device != device]
        if any(profile.energy != profiles[0].energy for profile in profiles):
            obstacles.append(f"energies{whose} come from different tables")
            shared = [o for o in shared if o.unit != "J" or o.device != device]
    return tuple(shared), tuple(obstacles)


def _profile(run: Run, device: str | None) -> HardwareProfile:
    """The main one, or that of an objective which the run has."""
    return next((profile for profile in run.further_profiles if profile.name == device), run.profile)


def _machine(profile: HardwareProfile) -> tuple[str, str, int]:
    fingerprint = profile.fingerprint
    return fingerprint.cpu_model, ", ".join(fingerprint.kernels[:1]), profile.threads


def _differences(runs: Sequence[Run]) -> tuple[str, ...]:
    found = []
    if len({run.model.fingerprint for run in runs}) > 1:
        found.append("the models differ: this compares networks, not only searches")
    keys = sorted(
        {key for run in runs[1:] for key in runs[0].space.differences(run.space)} - {"task", "objectives"}
    )
    if keys:
        found.append(f"the spaces differ in {', '.join(keys)}")
    if any(run.overrides != runs[0].overrides for run in runs):
        found.append(
            f"each front keeps to its run's overrides: {' against '.join(str(run.overrides) for run in runs)}"
        )
    if len({run.profile.created for run in runs}) > 1:
        found.append("latencies were profiled at different times, between which a machine drifts")
    counts = [sum(record.is_complete for record in run.records) for run in runs]
    if len(set(counts)) > 1:
        found.append(f"the runs have {', '.join(map(str, counts))} scored trials")
    return tuple(found)


def _front(run: Run, objectives: tuple[Objective, ...]) -> tuple[TrialRecord, ...]:
    competing = competitors(run.records, run.overrides, run.front.deciding)
    kept = non_dominated(minimised(points_of(competing, objectives), objectives))
    members = [record for record, keep in zip(competing, kept, strict=True) if keep]
    cost = first_cost(objectives)
    return tuple(sorted(members, key=lambda record: (cost.of(record), record.number)))


def _share(
    front: Sequence[TrialRecord], objectives: tuple[Objective, ...], reference: dict[str, float]
) -> float:
    return hypervolume(box_shares(front, objectives, reference), np.ones(len(objectives))) if front else 0.0


def _coverage(
    first: Sequence[TrialRecord], second: Sequence[TrialRecord], objectives: tuple[Objective, ...]
) -> float:
    """Share of `second` that some point of `first` beats; NaN where `second` is empty.

    Source: the C metric of Zitzler and Thiele 1999, with strict dominance: equal points do not beat.
    """
    if not second:
        return math.nan
    ours = minimised(points_of(first, objectives), objectives)
    theirs = minimised(points_of(second, objectives), objectives)
    beaten = dominates(ours[:, None], theirs).any(axis=0)
    return float(beaten.mean())


def _best_at_budgets(
    runs: Sequence[Run], fronts: Sequence[Sequence[TrialRecord]], objectives: tuple[Objective, ...]
) -> tuple[BestAtBudget, ...]:
    found = []
    members = [record for front in fronts for record in front]
    for objective in objectives:
        if objective.is_learnt or not members:
            continue
        costs = [objective.of(record) for record in members]
        for bound in _round_bounds(min(costs), max(costs)):
            best = tuple(_best(run, objective, bound) for run in runs)
            found.append(BestAtBudget(objective=objective, bound=bound, best=best))
    return tuple(found)


def _round_bounds(least: float, most: float) -> list[float]:
    """Bounds between the two, evenly on a logarithmic scale, of two figures."""
    shares = [(place + 1) / (_BUDGETS + 1) for place in range(_BUDGETS)]
    values = [least * (most / least) ** share for share in shares]
    return sorted({float(f"{value:.2g}") for value in values if value > 0})


def _best(run: Run, objective: Objective, bound: float) -> TrialRecord | None:
    competing = competitors(run.records, run.overrides, run.front.deciding)
    return best_of([r for r in competing if objective.of(r) <= bound], run.objectives)
