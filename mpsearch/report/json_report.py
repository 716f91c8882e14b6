"""`mpsearch pareto RUN --json`: a run for other programs. One schema number only ever gains keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mpsearch.search.objective import OBJECTIVES
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

REPORT_SCHEMA = 1


def json_report(run: Run) -> dict[str, Any]:
    """One JSON object.

    `hypervolume` is a share: of the box between `reference_point` and `ideal_point`, how much the front
    dominates. `trials` are all that were scored, not only the front; `failed` are the others. `knee` is a
    trial number, null before the first trial.

    Units: by the suffix of the key (`_s`, `_bytes`, `_j`); accuracies are shares of 1, on validation.
    """
    complete = [record for record in run.records if record.is_complete]
    base = run.baseline
    return {
        "schema": REPORT_SCHEMA,
        "space": run.space.name,
        "objectives": [
            {"name": o.name, "direction": o.direction, "unit": o.unit, "key": o.field} for o in run.objectives
        ],
        "reference_point": run.reference_point,
        "ideal_point": {o.name: 1.0 if o.direction == "maximize" else 0.0 for o in run.objectives},
        "hypervolume": run.hypervolume,
        "budgets": run.budgets.bounds(),
        "baseline": {
            "accuracy": base.score,
            "test_accuracy": base.test_score,
            **asdict(base.costs),
        },
        "profile": {"name": run.profile.name, "threads": run.profile.threads},
        "trials": [_trial(run, record) for record in complete],
        "failed": [
            {"number": r.number, "policy": r.policy.names(), "reason": r.failure}
            for r in run.records
            if not r.is_complete
        ],
        "knee": run.front.knee().number if complete else None,
    }


def _trial(run: Run, record: TrialRecord) -> dict[str, Any]:
    return {
        "number": record.number,
        "policy": record.policy.names(),
        **{objective.field: getattr(record, objective.field) for objective in OBJECTIVES.values()},
        "memory_bytes": round(record.memory_bytes),
        "test_accuracy": run.test_scores.get(record.number),
        "loss": record.loss,
        "feasible": record.feasible,
        "on_front": record.number in run.front,
        "seconds": record.seconds,
        "origin": record.origin,
    }
