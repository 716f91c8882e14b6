"""Trial after trial: propose, run, write down; promote those that deserve it, or stop them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mpsearch.atomic_file import storing
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.search.clock import Clock
from mpsearch.search.ended_record import ended_record
from mpsearch.search.events import (
    Notice,
    OnEvent,
    RungFinished,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.failure_streak import FailureStreak
from mpsearch.search.interrupts import uninterrupted
from mpsearch.search.journal import Journal
from mpsearch.search.known_costs import ENUMERABLE, KnownCosts
from mpsearch.search.next_training import NextTraining, SearchState
from mpsearch.search.promotion import Climber, Ladder
from mpsearch.search.proposer import Proposer
from mpsearch.search.retraining import retraining_of
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runner import Runner
from mpsearch.search.space import SearchSpace
from mpsearch.search.stop_advice import StopAdvice
from mpsearch.search.study import BegunTrial, LostTrial, News, StudyStore
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob
from mpsearch.search.trial_record import Rung, State, TrialRecord, now_utc
from mpsearch.search.upcoming_trials import UpcomingTrials

RESUME = "Give the same command again to go on."
OTHERS_POLL_S = 1.0  # how often other drivers are looked at where only their trials still run


@dataclass(kw_only=True, eq=False)
class TrialLoop:
    """Propose, run, write down; until the trials are done, the time is over or the space is exhausted.

    Where there are several fidelities, a worker that is free takes the trial that deserves to go on
    (`Ladder`), or else a new policy; it never waits for another worker. Once no policy may begin, none
    deserves to go on and nothing runs, the trials that wait are stopped.

    `known`: costs of the whole space; `allowed`: of the policies that the overrides leave. Where there is
    `next_training`, its comparison decides who goes on, once it is ready, and may have a policy trained again
    with another seed.
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
    lost: Sequence[BegunTrial]
    next_training: NextTraining | None = None
    is_rejudged: bool = False

    def __post_init__(self) -> None:
        self.reason = "done"
        self.message = "All trials are done."
        self.resume: str | None = None
        self._running: dict[int, tuple[BegunTrial, str]] = {}  # with the time when each began here
        self._waiting: dict[int, tuple[BegunTrial, str]] = {}  # at a lower fidelity
        self._ladder = Ladder(self.space)
        for record in self.journal.records:
            self._ladder.remember(record)
        self._elsewhere: dict[int, BegunTrial] = {}  # what other drivers of the study run
        self._has_waited = False
        self._failures = FailureStreak()
        self._advice = StopAdvice(self.emit, may_repeat=self.space.search.repeats == "auto")
        self._upcoming = UpcomingTrials(
            self.space,
            self.known,
            self.allowed,
            store=self.store,
            proposer=self.proposer,
            lost=self.lost,
            ended=[record.number for record in self.journal.records],
        )
        self._is_exhausted = False
        self._retraining = retraining_of(self.space, self.journal, self.emit, is_rejudged=self.is_rejudged)
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
        return len(self._waiting) + self._upcoming.waiting

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
                if self._await_others() or self._may_retrain():
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
            for trial in self._upcoming.begin_rungs():
                self._let_wait(trial, now_utc())
            state = self._search_state()
            compares = self.next_training is not None and self.next_training.is_ready(state)
            deserving = self._ladder.anchor() if compares else self._ladder.deserving()
            is_due = deserving is not None or self._may_begin() or (compares and bool(state.waiting))
            if is_due and self.clock.is_over:
                self._stop("timeout", "The time is over.", RESUME)
                return False
            if compares and self.next_training is not None:
                self.proposer.expect(self.next_training.estimates(state))
            may_begin = deserving is None and self._may_begin()
            new = self._upcoming.promised() if may_begin else None
            if deserving is None and new is None:
                new = self._upcoming.proposal() if may_begin else None
                if compares and (new is not None or state.waiting):
                    deserving, new = self._compared(state, new)
            if deserving is not None:
                self._go_on(deserving.number, runner)
                return True
            if new is None:
                if self._may_begin():
                    self._is_exhausted = True
                    self._stop("exhausted", self._why_exhausted())
                return False
            self._begin(new, runner)
        return True

    def _search_state(self) -> SearchState:
        running = [trial for trial, _ in self._running.values()] + list(self._elsewhere.values())
        return SearchState(
            records=sorted(self.journal.records, key=lambda record: record.number),  # as one that goes on has
            scores=self.journal.scores,
            waiting=self._ladder.waiting,
            running=[trial.policy for trial in running],
            repeated=[trial.policy for trial in running if trial.origin == "repeat"],
        )

    def _compared(
        self, state: SearchState, new: BegunTrial | None
    ) -> tuple[Climber | None, BegunTrial | None]:
        """The waiting trial that goes on instead of the new one, or what begins: that, or a repeat."""
        assert self.next_training is not None
        better = self.next_training.choose(state, None if new is None else new.policy)
        if better is None:
            return None, new
        if new is not None:
            self._upcoming.take_back(new)
        if isinstance(better, Climber):
            return better, None
        earlier = sum(record.policy == better.policy for record in self.journal.records)
        return None, self._upcoming.repeat(better.policy, self.space.search.seed + earlier)

    def _hear(self, news: News) -> None:
        """Take note of what another driver has begun, lost or finished."""
        number = news.trial.number if isinstance(news, LostTrial) else news.number
        self._upcoming.give_up(number)
        self._elsewhere.pop(number, None)
        match news:
            case BegunTrial():
                self._elsewhere[number] = news
                self.proposer.resume(news)
            case LostTrial():
                self._upcoming.add_lost(news.trial)
            case TrialRecord():
                self._count(news, self.journal.mirror)
                self.proposer.finish(news)
                self._ladder.remember(news)
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

    def _begin(self, trial: BegunTrial, runner: Runner) -> None:
        if self._upcoming.begin(trial):
            self._advice.hear(trial.attributes)
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
        if record.failure is None:
            self._failures.end()
        else:
            self._failures.add(record.failure)

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
        self._failures.end()
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

    def _stop_waiting(self) -> None:
        """The search ends: what waits has scored as far as it got."""
        for number in sorted(self._waiting):
            with uninterrupted():
                trial, started = self._waiting.pop(number)
                self._ladder.stop(number)
                self._end(self._record(trial, started, "stopped"))

    def _record(
        self, trial: BegunTrial, started: str, state: State, outcome: Outcome | None = None
    ) -> TrialRecord:
        return ended_record(
            trial,
            state,
            outcome or Outcome(number=trial.number),
            costs=self.known.costs(trial.policy),
            seed=self._seed(trial),
            started=started,
            driver=self.store.driver,
        )

    def _end(self, record: TrialRecord) -> None:
        """A trial has ended: write it down and tell of it."""
        judged = replace(record, feasible=self.space.admits(record))
        counted = self._count(judged, lambda ended: self.journal.add(ended, self._weights(ended.number)))
        self.proposer.finish(counted)
        self._tell_finished(counted)

    def _count(self, record: TrialRecord, write: Callable[[TrialRecord], TrialRecord]) -> TrialRecord:
        """Write a trial down; a repeat may bring others onto the front."""
        before = self.journal.front.lasting
        counted = write(record)
        if counted.origin == "repeat":
            self._retraining.note_risen(self.journal.front.lasting - before)
        return counted

    def _may_retrain(self) -> bool:
        """Whether some are to be trained again for their weights, now that all else is done."""
        if self.clock.is_over:
            return False
        self._retraining.ask_for_risen()
        return self._retraining.is_due

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

    def _why_exhausted(self) -> str:
        bounded = f" that meets {self.space.budgets}" if self.space.budgets else ""
        bounded += f" with {self.space.overrides}" if self.space.overrides else ""
        count = self._begun
        if self.allowed.resolved.policies <= ENUMERABLE:
            return f"Every policy{bounded} has been tried: {count} trials."
        return f"No further policy{bounded} was found after {count} trials."

    def _stop(self, reason: str, message: str, resume: str | None = None) -> None:
        self.reason, self.message, self.resume = reason, message, resume

    def _weights(self, number: int) -> Path:
        return self.folder.checkpoints / f".{number}.part.safetensors"
