"""Trial after trial: propose, run, write down; promote those that deserve it, or stop them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from mpsearch.atomic_file import storing
from mpsearch.errors import TrialError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.clock import Clock
from mpsearch.search.events import (
    Notice,
    OnEvent,
    RungFinished,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.failure_reason import reason_of
from mpsearch.search.interrupts import uninterrupted
from mpsearch.search.journal import Journal
from mpsearch.search.known_costs import ENUMERABLE, KnownCosts
from mpsearch.search.promotion import Climber, Ladder
from mpsearch.search.proposer import Proposer
from mpsearch.search.retraining import Retraining
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runner import Runner
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import BegunTrial, LostTrial, News, StudyStore
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob
from mpsearch.search.trial_record import Rung, State, TrialRecord, now_utc

MAX_SAME_FAILURES = 10
RESUME = "Give the same command again to go on."
OTHERS_POLL_S = 1.0  # how often other drivers are looked at where only their trials still run


@dataclass(kw_only=True, eq=False)
class TrialLoop:
    """Propose, run, write down; until the trials are done, the time is over or the space is exhausted.

    Where there are several fidelities, a worker that is free takes the trial that deserves to go on
    (`Ladder`), or else a new policy; it never waits for another worker. Once no policy may begin, none
    deserves to go on and nothing runs, the trials that wait are stopped.

    `known`: costs of the whole space; `allowed`: of the policies that the overrides leave.
    """

    space: SearchSpace
    folder: RunFolder
    clock: Clock
    emit: OnEvent
    known: KnownCosts
    allowed: KnownCosts
    store: StudyStore
    journal: Journal
    proposer: Proposer
    lost: deque[BegunTrial]

    def __post_init__(self) -> None:
        self.reason = "done"
        self.message = "All trials are done."
        self.resume: str | None = None
        self._running: dict[int, tuple[BegunTrial, str]] = {}  # with the time when each began here
        self._waiting: dict[int, tuple[BegunTrial, str]] = {}  # at a lower fidelity
        self._ladder = Ladder(self.space)
        for record in self.journal.records:
            self._remember_rungs(record)
        self._elsewhere: dict[int, BegunTrial] = {}  # what other drivers of the study run
        self._has_waited = False
        self._failures: deque[str] = deque(maxlen=MAX_SAME_FAILURES)
        used = [record.number for record in self.journal.records] + [trial.number for trial in self.lost]
        self._next_number = max(used, default=-1) + 1
        for trial in self.lost:
            if trial.origin == "repeat" or not self.proposer.has_seen(trial.policy):
                self.proposer.resume(trial)
        self._anchors = deque(
            policy for policy in self.allowed.resolved.anchors() if not self.proposer.has_seen(policy)
        )
        self._is_exhausted = False
        # Else, whose weights are missing was copied without them on purpose.
        may_have_moved = bool(self.space.overrides) or any(r.origin == "repeat" for r in self.journal.records)
        without = self.journal.without_weights() if may_have_moved else []
        self._retraining = Retraining(without, self.journal, self.emit)
        if len(self.journal.records) >= self.total:
            count = len(self.journal.records)
            self._stop("done", f"{count} trials are there already.", "Ask for more to go on.")

    @property
    def total(self) -> int:
        return self.space.search.trials

    @property
    def _shares(self) -> tuple[float, ...]:
        return self.space.trial.fidelities

    @property
    def waiting(self) -> int:
        """How many trials wait at a lower fidelity, those that a killed process left included."""
        return len(self._waiting) + sum(bool(trial.rungs) for trial in self.lost)

    @property
    def has_work(self) -> bool:
        return len(self.journal.records) < self.total or self._retraining.is_due

    def run(self, runner: Runner) -> None:
        """Raises: TrialError if ten trials in a row fail for one reason."""
        while True:
            while self._retraining.is_due and runner.running < runner.capacity and not self.clock.is_over:
                record = self._retraining.begin()
                self._submit(runner, record.number, record.policy, record.seed)
            while runner.running < runner.capacity and self._begin_next(runner):
                pass
            if not runner.running:
                self._stop_waiting()  # first: two drivers would wait for what waits at the other
                if self._await_others():
                    continue
                return
            for report in runner.wait():
                if isinstance(report, Outcome):
                    with uninterrupted():
                        self._finish(report)
                else:
                    self.report_step(report)

    def report_step(self, report: StepReport) -> None:
        self.emit(TrialProgress(number=report.number, step=report.step, total=report.total, loss=report.loss))

    def _begin_next(self, runner: Runner) -> bool:
        """Let a trial go on or begin one, if one may; no other driver of the study proposes meanwhile."""
        with self.store.turn() as news:
            for item in news:
                self._hear(item)
            self._take_up_rungs()
            deserving = self._ladder.deserving()
            if deserving is None and not self._may_begin():
                return False
            if self.clock.is_over:
                self._stop("timeout", "The time is over.", RESUME)
                return False
            if deserving is not None:
                self._go_on(deserving.number, runner)
                return True
            trial = self._next()
            if trial is None:
                self._is_exhausted = True
                self._stop("exhausted", self._why_exhausted())
                return False
            self._begin(trial, runner)
        return True

    def _hear(self, news: News) -> None:
        """Take note of what another driver has begun, lost or finished."""
        number = news.trial.number if isinstance(news, LostTrial) else news.number
        self._next_number = max(self._next_number, number + 1)
        self.lost = deque(trial for trial in self.lost if trial.number != number)
        self._elsewhere.pop(number, None)
        match news:
            case BegunTrial():
                self._elsewhere[number] = news
                self.proposer.resume(news)
            case LostTrial():
                self.lost.append(news.trial)
                self.proposer.resume(news.trial)
            case TrialRecord():
                before = self.journal.front.lasting
                self.journal.mirror(news)
                self._ask_for_weights(news, before)
                self.proposer.finish(news)
                self._remember_rungs(news)
                self._tell_finished(news)

    def _await_others(self) -> bool:
        """Wait a moment if trials of other drivers run still: they count too, or are lost and begun here."""
        if not self._elsewhere or self.clock.is_over:
            return False
        if not self._has_waited:
            count = len(self._elsewhere)
            trials = "1 trial" if count == 1 else f"{count} trials"
            self.emit(Notice(message=f"Waiting for {trials} that other drivers of the study run."))
            self._has_waited = True
        time.sleep(OTHERS_POLL_S)
        self._is_exhausted = False  # what they lose is to be tried
        return True

    @property
    def _begun(self) -> int:
        """How many trials have ended, run or wait, anywhere."""
        return sum(map(len, (self.journal.records, self._running, self._waiting, self._elsewhere)))

    def _may_begin(self) -> bool:
        return not self._is_exhausted and self._begun < self.total

    def _take_up_rungs(self) -> None:
        """Let the trials that a killed process left at a lower fidelity wait here."""
        for trial in [trial for trial in self.lost if trial.rungs]:
            self.lost.remove(trial)
            if not self.proposer.runs(trial):
                self.store.abandon(trial.number)
            elif self.store.begin(trial, self._cost_violations(trial)):
                self._let_wait(trial, now_utc())

    def _next(self) -> BegunTrial | None:
        while self.lost:
            trial = self.lost.popleft()
            is_wanted = trial.origin == "anchor" or not self._excess(trial)
            is_wanted &= self.space.overrides.allows(trial.policy)
            if is_wanted and self.proposer.runs(trial):
                return trial
            if self.proposer.runs(trial):
                self.proposer.forget(trial)
            self.store.abandon(trial.number)
        while self._anchors:
            policy = self._anchors.popleft()
            if not self.proposer.has_seen(policy):
                return self.proposer.begin(self._new_number(), policy, "anchor")
        proposed, refused = self.proposer.propose(self._next_number)
        for refusal in refused:
            self.store.refuse(refusal.policy, refusal.violations, refusal.attributes)
        if proposed is not None:
            self._new_number()
        return proposed

    def _begin(self, trial: BegunTrial, runner: Runner) -> None:
        if not self.store.begin(trial, self._cost_violations(trial)):
            self.proposer.forget(trial)
            if trial.origin == "anchor":
                self._anchors.appendleft(trial.policy)
            return
        self._run(trial, now_utc(), runner)

    def _go_on(self, number: int, runner: Runner) -> None:
        """A trial that waited trains at the next fidelity."""
        self._ladder.leave(number)
        self._run(*self._waiting.pop(number), runner)

    def _run(self, trial: BegunTrial, started: str, runner: Runner) -> None:
        share = self._share(trial)
        self._running[trial.number] = (trial, started)
        self._submit(runner, trial.number, trial.policy, self._seed(trial), share)
        self.emit(
            TrialStarted(
                number=trial.number,
                policy=trial.policy,
                origin=trial.origin,
                share=share,
                waiting=self.waiting,
            )
        )

    def _share(self, trial: BegunTrial) -> float:
        """The fidelity that a trial trains at next; one that has a score in full is repeated in full."""
        return 1.0 if trial.origin == "repeat" else self._shares[len(trial.rungs)]

    def _seed(self, trial: BegunTrial) -> int:
        return self.space.search.seed if trial.seed is None else trial.seed

    def _submit(
        self, runner: Runner, number: int, policy: PrecisionPolicy, seed: int, share: float = 1.0
    ) -> None:
        runner.submit(
            TrialJob(
                number=number,
                policy=policy,
                weights=self._weights(number),
                seed=seed,
                share=share,
                limit_s=self.space.search.trial_timeout_s,
            )
        )

    def _finish(self, outcome: Outcome) -> None:
        if outcome.number in self._retraining:
            self._retraining.finish(outcome, self._weights(outcome.number))
            return
        trial, started = self._running.pop(outcome.number)
        if outcome.failure is not None:
            record = self._record(trial, started, "failed", outcome)
        elif self._share(trial) < 1:
            self._keep_rung(trial, started, outcome)
            return
        else:
            record = self._record(trial, started, "complete", outcome)
        self._end(record)
        self._stop_if_always_failing(record)

    def _keep_rung(self, trial: BegunTrial, started: str, outcome: Outcome) -> None:
        """A trial has scored at a lower fidelity: that is on disk before anything else begins."""
        assert outcome.score is not None
        assert outcome.loss is not None
        rung = Rung(
            share=self._share(trial),
            score=outcome.score,
            loss=outcome.loss,
            seconds=outcome.seconds,
            steps=outcome.steps,
            ended=now_utc(),
        )
        self.store.keep_rung(trial.number, rung)
        with storing(self.folder.checkpoints):
            self._weights(trial.number).unlink(missing_ok=True)
        self._failures.clear()
        self._let_wait(replace(trial, rungs=(*trial.rungs, rung)), started)
        self.emit(RungFinished(number=trial.number, policy=trial.policy, rung=rung, waiting=self.waiting))

    def _let_wait(self, trial: BegunTrial, started: str) -> None:
        self._waiting[trial.number] = (trial, started)
        self._ladder.enter(
            Climber(
                number=trial.number,
                policy=trial.policy,
                costs=self.known.costs(trial.policy),
                origin=trial.origin,
                rungs=trial.rungs,
            ),
            waits=True,
        )

    def _remember_rungs(self, record: TrialRecord) -> None:
        climber = Climber(
            number=record.number,
            policy=record.policy,
            costs=record.costs,
            origin=record.origin,
            rungs=record.rungs,
        )
        self._ladder.enter(climber, waits=False)
        if record.is_stopped:
            self._ladder.give_up(record.number)

    def _stop_waiting(self) -> None:
        """The search ends: what waits has scored as far as it got."""
        for number in sorted(self._waiting):
            with uninterrupted():
                trial, started = self._waiting.pop(number)
                self._ladder.leave(number)
                self._end(self._record(trial, started, "stopped"))

    def _record(
        self, trial: BegunTrial, started: str, state: State, outcome: Outcome | None = None
    ) -> TrialRecord:
        last = outcome or Outcome(number=trial.number)
        return TrialRecord(
            number=trial.number,
            policy=trial.policy,
            state=state,
            score=last.score,
            loss=last.loss,
            costs=self.known.costs(trial.policy),
            feasible=False,
            seconds=sum(rung.seconds for rung in trial.rungs) + last.seconds,
            steps=sum(rung.steps for rung in trial.rungs) + last.steps,
            seed=self._seed(trial),
            origin=trial.origin,
            started=started,
            ended=trial.rungs[-1].ended if state == "stopped" else now_utc(),
            failure=last.failure,
            rungs=trial.rungs,
            driver=self.store.driver,
        )

    def _end(self, record: TrialRecord) -> None:
        """A trial has ended: write it down and tell of it."""
        judged = replace(record, feasible=self.space.admits(record))
        before = self.journal.front.lasting
        counted = self.journal.add(judged, self._weights(record.number))
        self._ask_for_weights(counted, before)
        self.proposer.finish(counted)
        self._tell_finished(counted)

    def _ask_for_weights(self, record: TrialRecord, before: set[int]) -> None:
        """A second seed may let a point fall, and what it had beaten come onto the front again."""
        if record.origin == "repeat":
            joined = (found for found in self.journal.without_weights() if found.number not in before)
            self._retraining.ask_for(joined)

    def _tell_finished(self, record: TrialRecord) -> None:
        self.emit(
            TrialFinished(
                record=record,
                finished=len(self.journal.records),
                total=self.total,
                front=tuple(sorted(self.journal.front.numbers)),
                knee=self.journal.front.knee(self.space.admits),
                hypervolume=self.journal.front.hypervolume,
                best=self.journal.best(),
                waiting=self.waiting,
            )
        )

    def _stop_if_always_failing(self, record: TrialRecord) -> None:
        if record.failure is None:
            self._failures.clear()
            return
        self._failures.append(reason_of(record.failure))
        if len(self._failures) == MAX_SAME_FAILURES and len(set(self._failures)) == 1:
            raise TrialError(
                f"{MAX_SAME_FAILURES} trials in a row failed for one reason: {record.failure} "
                "Mend it and give the same command again; finished trials are kept."
            )

    def _cost_violations(self, trial: BegunTrial) -> dict[str, float]:
        return self.space.budgets.cost_violations(self.known.costs(trial.policy))

    def _excess(self, trial: BegunTrial) -> bool:
        return any(excess > 0 for excess in self._cost_violations(trial).values())

    def _why_exhausted(self) -> str:
        bounded = f" that meets {self.space.budgets}" if self.space.budgets else ""
        bounded += f" with {self.space.overrides}" if self.space.overrides else ""
        count = self._begun
        if self.allowed.resolved.policies <= ENUMERABLE:
            return f"Every policy{bounded} has been tried: {count} trials."
        return f"No further policy{bounded} was found after {count} trials."

    def _stop(self, reason: str, message: str, resume: str | None = None) -> None:
        self.reason, self.message, self.resume = reason, message, resume

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _weights(self, number: int) -> Path:
        return self.folder.checkpoints / f".{number}.part.safetensors"
