"""`mpsearch pareto RUN --json`: a run for other programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from mpsearch.report.trial_selection import TrialSelection
from mpsearch.search.run import Run
from mpsearch.search.run_facts import BaselineScore
from mpsearch.search.rung_agreement import rung_agreements
from mpsearch.search.score_difference import baseline_interval
from mpsearch.search.score_ranking import score_ranking
from mpsearch.search.trial_record import TrialRecord

# Raised when a key goes or changes its meaning. New keys may come at any time: readers must ignore those that
# they do not know.
REPORT_SCHEMA = 1


def json_report(run: Run, selection: TrialSelection | None = None) -> dict[str, Any]:
    """One JSON object.

    schema            REPORT_SCHEMA
    space             the name of the search space
    metric            what the score is, such as accuracy
    validation_samples, test_samples    how many samples each score is the mean of; the latter may be null
    objectives        name, direction, unit, and the key of each in `trials`
    reference_point, ideal_point, hypervolume    of the box between the two, the share that the front takes
    budgets           objective name -> bound, those in force
    overrides         pin: layer or glob -> scheme; forbid: the same -> schemes; those in force
    baseline          the 32-bit model: accuracy, interval, test_accuracy, loss, costs
    widths            where the width of the model is a choice: width, is_reference (`baseline` is that
                      one's), and the 32-bit model of it as in `baseline`; else empty
    profile           what predicted the latencies: name, threads, machine, created
    selection         filter, sort, top: what `trials` is limited to, null where nothing was asked for
    trials            all that were scored, by number, or what `selection` asks for in its order
    failed            those that failed: number, policy, width, reason, seconds
    stopped           those that were stopped at a lower fidelity: number, policy, width, rungs (share, score,
                      loss, seconds, steps and ended of each), seconds
    fidelities        how well scores after a share of the steps rank the trials that have both: share,
                      trials, kendall_tau (tau-b, null below three trials), gains (regime: the fewest bits
                      of a policy, trials, and what the rest of the steps added to their scores)
    score_ranking     how well trials of such a recipe rank random policies of the task's model, as measured:
                      steps, long_steps, policies, tau (Kendall's tau-b), low, high (95%), differing (settings
                      that were others then); null where it was not measured
    open              the numbers of trials that have begun and not ended: they run now, or were killed
    knee              a trial number, null before the first trial

    A trial: number, policy (layer -> scheme), width (null where that is no choice), accuracy, interval ([low,
    high], 95%, for the choice of validation samples; null for a metric that leaves 0..1), test_accuracy,
    test_interval, costs (latencies are predicted, `latency_s` a median), measured (null, or what `mpsearch
    bench` measured: latency_s, quartiles_s, p95_s, p99_s, torch_fp32_latency_s, repetitions, threads,
    machine, isa and more), loss, feasible, on_front, seconds (of training), seed, seeds (number, seed and
    accuracy of each training of the policy: accuracy and loss are their means), origin.

    Units: by the suffix of the key (`_s`, `_bytes`, `_j`); accuracies are shares of 1, on validation.
    """
    wanted = selection or TrialSelection()
    complete = [record for record in run.records if record.is_complete]
    return {
        "schema": REPORT_SCHEMA,
        "space": run.space.name,
        "metric": run.metric,
        "validation_samples": run.validation_samples,
        "test_samples": run.test_samples,
        "objectives": [
            {"name": o.name, "direction": o.direction, "unit": o.unit, "key": o.field} for o in run.objectives
        ],
        "reference_point": run.reference_point,
        "ideal_point": {o.name: 1.0 if o.direction == "maximize" else 0.0 for o in run.objectives},
        "hypervolume": run.hypervolume,
        "budgets": run.budgets.bounds(),
        "overrides": run.overrides.texts(),
        "baseline": _baseline(run, run.baseline),
        "widths": [
            {"width": width, "is_reference": base is run.baseline, **_baseline(run, base)}
            for width, base in run.baselines.items()
            if width is not None
        ],
        "profile": {
            "name": run.profile.name,
            "threads": run.profile.threads,
            "machine": run.profile.fingerprint.cpu_model,
            "created": run.profile.created,
        },
        "selection": {
            "filter": None if wanted.filter is None else str(wanted.filter),
            "sort": wanted.sort,
            "top": wanted.top,
        },
        "trials": [trial_json(run, record) for record in wanted.of(run, complete)],
        "failed": [
            {
                "number": r.number,
                "policy": r.policy.names(),
                "width": r.policy.width,
                "reason": r.failure,
                "seconds": r.seconds,
            }
            for r in run.records
            if r.is_failed
        ],
        "stopped": [
            {
                "number": r.number,
                "policy": r.policy.names(),
                "width": r.policy.width,
                "rungs": [asdict(rung) for rung in r.rungs],
                "seconds": r.seconds,
            }
            for r in run.records
            if r.is_stopped
        ],
        "fidelities": [
            {
                "share": a.share,
                "trials": a.trials,
                "kendall_tau": a.tau,
                "gains": [asdict(gain) for gain in a.gains],
            }
            for a in rung_agreements(run.records)
        ],
        "score_ranking": _score_ranking(run),
        "open": list(run.open_numbers),
        "knee": run.front.knee().number if complete else None,
    }


def _baseline(run: Run, base: BaselineScore) -> dict[str, Any]:
    return {
        "accuracy": base.score,
        "interval": interval_json(baseline_interval(run, base)),
        "test_accuracy": base.test_score,
        **{o.field: base.of(o) for o in run.quantities.values() if o.name != "accuracy"},
    }


def _score_ranking(run: Run) -> dict[str, Any] | None:
    ranking = score_ranking(run.space)
    if ranking is None:
        return None
    told = ("steps", "long_steps", "policies", "tau", "low", "high")
    measured = {name: getattr(ranking.measured, name) for name in told}
    return {**measured, "differing": list(ranking.differing)}


def trial_json(run: Run, record: TrialRecord) -> dict[str, Any]:
    """One trial as `json_report` has it."""
    measured = run.measured.get(record.number)
    return {
        "number": record.number,
        "policy": record.policy.names(),
        "width": record.policy.width,
        "interval": interval_json(run.interval(record)),
        **{objective.field: objective.of(record) for objective in run.quantities.values()},
        "accuracy": record.score,  # null where the trial failed
        "memory_bytes": round(record.memory_bytes),
        "test_accuracy": run.test_scores.get(record.number),
        "test_interval": interval_json(run.test_interval(record.number)),
        "measured": None if measured is None else asdict(measured),
        "loss": record.loss,
        "feasible": record.feasible,
        "on_front": record.number in run.front,
        "seconds": record.seconds,
        "seed": record.seed,
        "seeds": [
            {"number": training.number, "seed": training.seed, "accuracy": training.score}
            for training in record.every_training
        ],
        "origin": record.origin,
    }


def interval_json(interval: tuple[float, float]) -> list[float] | None:
    """[low, high]; None where it is unknown, since JSON has no NaN."""
    return None if math.isnan(interval[0]) else list(interval)
