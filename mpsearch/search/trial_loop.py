"""Trial after trial: propose, run, write down."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from mpsearch.errors import TrialError
from mpsearch.search.clock import Clock
from mpsearch.search.events import Notice, OnEvent, TrialFinished, TrialProgress, TrialStarted
from mpsearch.search.interrupts import uninterrupted
from mpsearch.search.journal import Journal
from mpsearch.search.known_costs import ENUMERABLE, KnownCosts
from mpsearch.search.proposer import Proposer
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runner import Runner
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import BegunTrial, LostTrial, News, StudyStore
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob
from mpsearch.search.trial_record import TrialRecord, now_utc

MAX_SAME_FAILURES = 10
RESUME = "Give the same command again to go on."
OTHERS_POLL_S = 1.0  # how often other drivers are looked at where only their trials still run


@dataclass(kw_only=True, eq=False)
class TrialLoop:
    """Propose, run, write down; until the trials are done, the time is over or the space is exhausted.

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
        self._running: dict[int, tuple[BegunTrial, str]] = {}
        self._elsewhere: dict[int, BegunTrial] = {}  # what other drivers of the study run
        self._has_waited = False
        self._failures: deque[str] = deque(maxlen=MAX_SAME_FAILURES)
        used = [record.number for record in self.journal.records] + [trial.number for trial in self.lost]
        self._next_number = max(used, default=-1) + 1
        self._anchors = deque(
            policy for policy in self.allowed.resolved.anchors() if not self.proposer.has_seen(policy)
        )
        self._is_exhausted = False
        # Without overrides, whose weights are missing was copied without them on purpose.
        self._to_train_again = deque(self.journal.without_weights() if self.space.overrides else ())
        self._again: dict[int, TrialRecord] = {}
        if len(self.journal.records) >= self.total:
            count = len(self.journal.records)
            self._stop("done", f"{count} trials are there already.", "Ask for more to go on.")

    @property
    def total(self) -> int:
        return self.space.search.trials

    @property
    def has_work(self) -> bool:
        return len(self.journal.records) < self.total or bool(self._to_train_again)

    def run(self, runner: Runner) -> None:
        """Raises: TrialError if ten trials in a row fail for one reason."""
        while True:
            while self._to_train_again and runner.running < runner.capacity and not self.clock.is_over:
                self._train_again(self._to_train_again.popleft(), runner)
            while runner.running < runner.capacity and self._begin_next(runner):
                pass
            if not runner.running:
                if not self._await_others():
                    return
                continue
            for report in runner.wait():
                if isinstance(report, Outcome):
                    with uninterrupted():
                        self._finish_again(report) if report.number in self._again else self._finish(report)
                else:
                    self.report_step(report)

    def report_step(self, report: StepReport) -> None:
        self.emit(TrialProgress(number=report.number, step=report.step, total=report.total, loss=report.loss))

    def _begin_next(self, runner: Runner) -> bool:
        """Begin a trial if one may be; no other driver of the study proposes meanwhile."""
        with self.store.turn() as news:
            for item in news:
                self._hear(item)
            if not self._may_begin(runner):
                return False
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
        before = self._elsewhere.pop(number, None)
        if before is not None and not isinstance(news, TrialRecord):
            self.proposer.forget(number, before.policy)
        match news:
            case BegunTrial():
                self._elsewhere[number] = news
                self.proposer.begin(number, news.policy, news.origin)
            case LostTrial():
                self.lost.append(news.trial)
            case TrialRecord():
                self.journal.mirror(news)
                self.proposer.finish(news)
                self._tell_finished(news)

    def _await_others(self) -> bool:
        """Wait a moment if trials of other drivers run still: they count too, or are lost and begun here."""
        if not self._elsewhere or self.clock.is_over:
            return False
        if not self._has_waited:
            count = len(self._elsewhere)
            self.emit(Notice(message=f"Waiting for {count} trials that other drivers of the study run."))
            self._has_waited = True
        time.sleep(OTHERS_POLL_S)
        self._is_exhausted = False  # what they lose is to be tried
        return True

    def _may_begin(self, runner: Runner) -> bool:
        running = runner.running + len(self._elsewhere)
        if self._is_exhausted or len(self.journal.records) + running >= self.total:
            return False
        if self.clock.is_over:
            self._stop("timeout", "The time is over.", RESUME)
            return False
        return True

    def _next(self) -> BegunTrial | None:
        while self.lost:
            trial = self.lost.popleft()
            is_wanted = trial.origin == "anchor" or not self._excess(trial)
            is_wanted &= self.space.overrides.allows(trial.policy)
            if is_wanted and not self.proposer.has_seen(trial.policy):
                return self.proposer.begin(trial.number, trial.policy, trial.origin)
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
        costs = self.known.costs(trial.policy)
        if not self.store.begin(trial, self.space.budgets.cost_violations(costs)):
            self.proposer.forget(trial.number, trial.policy)
            if trial.origin == "anchor":
                self._anchors.appendleft(trial.policy)
            return
        self._running[trial.number] = (trial, now_utc())
        runner.submit(TrialJob(number=trial.number, policy=trial.policy, weights=self._weights(trial.number)))
        self.emit(TrialStarted(number=trial.number, policy=trial.policy, origin=trial.origin))

    def _finish(self, outcome: Outcome) -> None:
        trial, started = self._running.pop(outcome.number)
        costs = self.known.costs(trial.policy)
        is_complete = outcome.failure is None
        record = TrialRecord(
            number=trial.number,
            policy=trial.policy,
            state="complete" if is_complete else "failed",
            score=outcome.score,
            loss=outcome.loss,
            costs=costs,
            feasible=False,
            seconds=outcome.seconds,
            steps=outcome.steps,
            seed=self.space.search.seed,
            origin=trial.origin,
            started=started,
            ended=now_utc(),
            failure=outcome.failure,
            driver=self.store.driver,
        )
        record = replace(record, feasible=self.space.admits(record))
        record = self.journal.add(record, self._weights(record.number))
        self.proposer.finish(record)
        self._tell_finished(record)
        self._stop_if_always_failing(record)

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
            )
        )

    def _train_again(self, record: TrialRecord, runner: Runner) -> None:
        self._again[record.number] = record
        self.emit(
            Notice(
                message=f"Trial {record.number} is trained again for its weights: they were not kept when it "
                "ended, and these overrides put it on the front."
            )
        )
        weights = self._weights(record.number)
        runner.submit(TrialJob(number=record.number, policy=record.policy, weights=weights))

    def _finish_again(self, outcome: Outcome) -> None:
        record = self._again.pop(outcome.number)
        if outcome.failure is not None:
            text = f"Trial {record.number} failed when it was trained again: {outcome.failure}"
            self.emit(Notice(message=text, is_warning=True))
            return
        self.journal.keep_weights(record.number, self._weights(record.number))
        if outcome.score != record.score:
            text = (
                f"Trial {record.number} scored {outcome.score:.4f} when it was trained again, "
                f"{record.accuracy:.4f} before: this machine or its libraries compute otherwise."
            )
            self.emit(Notice(message=text, is_warning=True))

    def _stop_if_always_failing(self, record: TrialRecord) -> None:
        if record.failure is None:
            self._failures.clear()
            return
        # Steps and losses differ from trial to trial; the reason is the same.
        self._failures.append(re.sub(r"[-+\d.e]*\d", "#", record.failure))
        if len(self._failures) == MAX_SAME_FAILURES and len(set(self._failures)) == 1:
            raise TrialError(
                f"{MAX_SAME_FAILURES} trials in a row failed for one reason: {record.failure} "
                "Mend it and give the same command again; finished trials are kept."
            )

    def _excess(self, trial: BegunTrial) -> bool:
        violations = self.space.budgets.cost_violations(self.known.costs(trial.policy))
        return any(excess > 0 for excess in violations.values())

    def _why_exhausted(self) -> str:
        bounded = f" that meets {self.space.budgets}" if self.space.budgets else ""
        bounded += f" with {self.space.overrides}" if self.space.overrides else ""
        count = len(self.journal.records)
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
