"""The record that a trial leaves when it ends."""

from __future__ import annotations

from mpsearch.search.costs import Costs
from mpsearch.search.study import BegunTrial
from mpsearch.search.trial_job import Outcome
from mpsearch.search.trial_record import State, TrialRecord, now_utc


def ended_record(
    trial: BegunTrial,
    state: State,
    last: Outcome,
    *,
    costs: Costs,
    seed: int,
    started: str,
    driver: str | None,
) -> TrialRecord:
    """Of all its fidelities, `last` the outcome of the last; budgets judge it later."""
    return TrialRecord(
        number=trial.number,
        policy=trial.policy,
        state=state,
        score=last.score,
        loss=last.loss,
        costs=costs,
        feasible=False,
        seconds=sum(rung.seconds for rung in trial.rungs) + last.seconds,
        steps=sum(rung.steps for rung in trial.rungs) + last.steps,
        seed=seed,
        origin=trial.origin,
        started=started,
        ended=trial.rungs[-1].ended if state == "stopped" else now_utc(),
        failure=last.failure,
        rungs=trial.rungs,
        driver=driver,
    )
