"""The search: from a space to a finished run, through any number of interruptions."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from mpsearch.errors import ConfigError, MpsearchError, RunError, TrialError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.atomic_file import write_atomically
from mpsearch.search.budgets import Budgets
from mpsearch.search.events import (
    Event,
    OnEvent,
    SearchFinished,
    SearchStarted,
    TrialFinished,
    TrialProgress,
    TrialStarted,
)
from mpsearch.search.held_out import score_front_on_test
from mpsearch.search.journal import Journal, Log
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.local_runner import InProcessRunner, ProcessPoolRunner
from mpsearch.search.preparation import (
    TracedTask,
    baseline_of,
    given_profile,
    known_costs,
    traced_task,
    usable_profile,
)
from mpsearch.search.proposer import Proposer
from mpsearch.search.resolve import full_precision_costs
from mpsearch.search.run import Exporter, Run, load_run, reference_point
from mpsearch.search.run_facts import FACTS_SCHEMA, BaselineScore, RunFacts, installed_version
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.runner import Runner
from mpsearch.search.samplers import sampler_named
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_space
from mpsearch.search.study import BegunTrial, StudyStore
from mpsearch.search.trial_job import Outcome, StepReport, TrialJob, Workload, usable_cpus, worthwhile_threads
from mpsearch.search.trial_record import TrialRecord, now_utc
from mpsearch.training.baseline import Baseline
from mpsearch.training.task import Task

MAX_SAME_FAILURES = 10
RESUME = "Give the same command again to go on."


def run_search(
    space: SearchSpace,
    *,
    out: str | Path,
    task: Task | None = None,
    profile: HardwareProfile | str | Path | None = None,
    trials: int | None = None,
    timeout_s: float | None = None,
    workers: int | None = None,
    budgets: Budgets | Mapping[str, Any] | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    threads: int = 1,
    on_event: OnEvent | None = None,
    exporter: Exporter | None = None,
) -> Run:
    """Search a space into the folder `out`; a folder with the same search goes on where it was.

    Settings given here replace those of the space. Before anything is trained: the task is loaded, its
    model traced, the profile loaded or measured on `threads` threads, the budgets checked. Then the 32-bit
    baseline, the uniform policies, and the sampler, until `trials` trials are there (failed ones count),
    `timeout_s` is over (no trial begins after it) or the space is exhausted. Last, the front is scored once
    on the test split. `task` replaces the space's own, for a task that has no name.

    Raises: ConfigError, BudgetError, TaskError, DataError, TraceError, ProfileError, UnmeasuredError before
    any training; RunError if the folder is in use or holds another search; StorageError if it cannot be
    written; TrialError if ten trials in a row fail for one reason; KeyboardInterrupt, with all finished
    trials on disk.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"`timeout_s` must be above 0 seconds; got {timeout_s}.")
    folder = RunFolder(Path(out))
    folder.create()
    with folder.locked():
        search = _Search(
            space=with_settings(
                space, trials=trials, workers=workers, budgets=budgets, seed=seed, sampler=sampler
            ),
            folder=folder,
            task=task,
            profile=given_profile(profile),
            timeout_s=timeout_s,
            threads=threads,
            on_event=on_event,
        )
        search.run()
    return replace(load_run(folder.path, exporter=exporter), task=task)


def with_settings(
    space: SearchSpace,
    *,
    trials: int | None = None,
    workers: int | None = None,
    budgets: Budgets | Mapping[str, Any] | None = None,
    seed: int | None = None,
    sampler: str | None = None,
) -> SearchSpace:
    """The space with what is not None replaced; budgets replace those of the same name.

    Raises: ConfigError if a value is out of range.
    """
    given = {"trials": trials, "workers": workers, "seed": seed}
    for name, value in given.items():
        least = 0 if name == "seed" else 1
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ConfigError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
    if sampler is not None:
        sampler_named(sampler)
    settings: dict[str, Any] = {**given, "sampler": sampler}
    changes = {name: value for name, value in settings.items() if value is not None}
    asked = budgets if isinstance(budgets, Budgets) else Budgets.parse(budgets or {})
    return replace(
        space,
        search=replace(space.search, **changes),
        budgets=Budgets.parse({**space.budgets.texts(), **asked.texts()}),
    )


@dataclass(kw_only=True, eq=False)
class _Search:
    """One call of `run_search`, holding the folder's lock."""

    space: SearchSpace
    folder: RunFolder
    task: Task | None
    profile: HardwareProfile | Path | None
    timeout_s: float | None
    threads: int
    on_event: OnEvent | None

    def run(self) -> None:
        self.began = time.monotonic()
        self.log = Log(self.folder.log_file)
        try:
            self._run()
        except KeyboardInterrupt:
            self._finished("interrupted", f"Interrupted. {RESUME}", resume=RESUME)
            raise
        except MpsearchError as error:
            self.log.write(f"{type(error).__name__}: {error}")
            raise

    def _run(self) -> None:
        known_facts = self._stored_facts()
        traced = traced_task(self.space, self.task, self.emit)
        if known_facts is not None and known_facts.model.fingerprint != traced.trace.fingerprint:
            raise RunError(
                f"A run keeps to one model; that of task {self.space.task.name!r} has other layers than when "
                f"{self.folder.path} was begun. Choose another --out."
            )
        profile = usable_profile(
            traced,
            given=self.profile,
            stored=self.folder.profile_file,
            has_begun=known_facts is not None,
            threads=self.threads,
            emit=self.emit,
        )
        known = known_costs(self.space, traced, profile, self.emit)
        macs = sum(layer.macs for layer in traced.trace.layers)
        threads = min(worthwhile_threads(macs, self.space.trial.batch_size), len(usable_cpus()))
        baseline = baseline_of(self.space, traced.task, threads, self.emit)
        facts = self._settle(known_facts, traced, profile, known, baseline)
        reference = reference_point(self.space.objectives, facts.greatest_costs)
        with StudyStore(self.folder.database, known.resolved, self.space.objectives) as store:
            lost = store.recover(self.folder.written_records())
            journal = Journal(self.folder, store, self.space, reference)
            journal.repair()
            loop = _Loop(
                search=self,
                known=known,
                store=store,
                journal=journal,
                proposer=Proposer(
                    known,
                    objectives=self.space.objectives,
                    budgets=self.space.budgets,
                    sampler=sampler_named(self.space.search.sampler),
                    seed=self.space.search.seed,
                    history=store.history(),
                ),
                lost=deque(lost),
            )
            self.emit(
                SearchStarted(
                    out=self.folder.path,
                    objectives=self.space.objectives,
                    budgets=self.space.budgets,
                    policies=known.resolved.policies,
                    total=self.space.search.trials,
                    workers=self.space.search.workers,
                    baseline_score=baseline.validation_score,
                    records=tuple(journal.records),
                    hypervolume=journal.front.hypervolume,
                )
            )
            if loop.has_work:
                with self._runner(traced.task, baseline, threads) as runner:
                    loop.run(runner)
        scored = score_front_on_test(
            facts,
            traced.task,
            baseline,
            self.space.trial,
            folder=self.folder,
            front=journal.front.records,
            emit=self.emit,
        )
        if scored != facts:
            self.folder.write_json(self.folder.facts_file, scored.to_dict())
        self._finished(
            loop.reason, loop.message, resume=loop.resume, front=tuple(sorted(journal.front.numbers))
        )

    def emit(self, event: Event) -> None:
        self.log(event)
        if self.on_event is not None:
            self.on_event(event)

    @property
    def is_over_time(self) -> bool:
        return self.timeout_s is not None and time.monotonic() - self.began >= self.timeout_s

    def _stored_facts(self) -> RunFacts | None:
        """What an earlier call left here, if it came to its first trial.

        Raises: RunError if it searched for something else.
        """
        if not self.folder.exists:
            return None
        before = load_space(self.folder.space_file)
        changed = before.differences(self.space)
        if changed:
            raise RunError(
                f"{self.folder.path} holds another search: {', '.join(changed)} "
                f"{'differs' if len(changed) == 1 else 'differ'}. "
                "Budgets, trials, workers and time may change from call to call; for the rest choose "
                "another --out."
            )
        return RunFacts.from_dict(self.folder.read_json(self.folder.facts_file, schema=FACTS_SCHEMA))

    def _settle(
        self,
        facts: RunFacts | None,
        traced: TracedTask,
        profile: HardwareProfile,
        known: KnownCosts,
        baseline: Baseline,
    ) -> RunFacts:
        """Write down what the trials will rest on; from here on the folder is a run."""
        if facts is not None and facts.baseline.key != baseline.key:
            raise RunError(
                f"A run keeps to one baseline; data or recipe of task {self.space.task.name!r} changed since "
                f"{self.folder.path} was begun. Choose another --out."
            )
        write_atomically(self.folder.space_file, self.space.to_yaml())
        if facts is not None:
            return facts
        profile.save(self.folder.profile_file)
        facts = RunFacts(
            created=now_utc(),
            version=installed_version(),
            baseline=BaselineScore(
                key=baseline.key,
                score=baseline.validation_score,
                loss=baseline.validation_loss,
                costs=full_precision_costs(traced.trace, profile),
            ),
            greatest_costs=known.greatest_costs(),
            model=traced.trace,
        )
        self.folder.write_json(self.folder.facts_file, facts.to_dict())
        return facts

    def _runner(self, task: Task, baseline: Baseline, threads: int) -> Runner:
        workload = Workload(
            reference=self.space.task,
            recipe=self.space.trial,
            seed=self.space.search.seed,
            threads=threads,
            task=task if self.space.search.workers == 1 else self.task,
            baseline=baseline,
        )
        if self.space.search.workers == 1:
            return InProcessRunner(workload.load(), self.report_step)
        return ProcessPoolRunner(workload, self.space.search.workers)

    def report_step(self, report: StepReport) -> None:
        self.emit(TrialProgress(number=report.number, step=report.step, total=report.total, loss=report.loss))

    def _finished(
        self, reason: Any, message: str, *, resume: str | None, front: tuple[int, ...] = ()
    ) -> None:
        self.emit(
            SearchFinished(
                reason=reason,
                message=message,
                out=self.folder.path,
                seconds=time.monotonic() - self.began,
                resume=resume,
                front=front,
            )
        )


@dataclass(kw_only=True, eq=False)
class _Loop:
    """Propose, run, write down; until the trials are done, the time is over or the space is exhausted."""

    search: _Search
    known: KnownCosts
    store: StudyStore
    journal: Journal
    proposer: Proposer
    lost: deque[BegunTrial]

    def __post_init__(self) -> None:
        self.reason = "done"
        self.message = "All trials are done."
        self.resume: str | None = None
        self._running: dict[int, tuple[BegunTrial, str]] = {}
        self._failures: deque[str] = deque(maxlen=MAX_SAME_FAILURES)
        used = [record.number for record in self.journal.records] + [trial.number for trial in self.lost]
        self._next_number = max(used, default=-1) + 1
        self._anchors = deque(
            policy for policy in self.known.resolved.anchors() if not self.proposer.has_seen(policy)
        )
        self._is_exhausted = False

    @property
    def total(self) -> int:
        return self.search.space.search.trials

    @property
    def has_work(self) -> bool:
        return len(self.journal.records) < self.total

    def run(self, runner: Runner) -> None:
        """Raises: TrialError if ten trials in a row fail for one reason."""
        while True:
            while runner.running < runner.capacity and self._may_begin(runner):
                trial = self._next()
                if trial is None:
                    self._is_exhausted = True
                    self._stop("exhausted", self._why_exhausted())
                    break
                self._begin(trial, runner)
            if not runner.running:
                return
            for report in runner.wait():
                if isinstance(report, Outcome):
                    with uninterrupted():
                        self._finish(report, runner)
                else:
                    self.search.report_step(report)

    def _may_begin(self, runner: Runner) -> bool:
        if self._is_exhausted or len(self.journal.records) + runner.running >= self.total:
            return False
        if self.search.is_over_time:
            self._stop("timeout", f"The time is over. {RESUME}", RESUME)
            return False
        return True

    def _next(self) -> BegunTrial | None:
        while self.lost:
            trial = self.lost.popleft()
            is_affordable = not self._excess(trial)
            if (trial.origin == "anchor" or is_affordable) and not self.proposer.has_seen(trial.policy):
                return self.proposer.begin(trial.number, trial.policy, trial.origin)
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
        self.store.begin(trial, self.search.space.budgets.cost_violations(costs))
        self._running[trial.number] = (trial, now_utc())
        runner.submit(TrialJob(number=trial.number, policy=trial.policy, weights=self._weights(trial.number)))
        self.search.emit(TrialStarted(number=trial.number, policy=trial.policy, origin=trial.origin))

    def _finish(self, outcome: Outcome, runner: Runner) -> None:
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
            feasible=is_complete
            and outcome.score is not None
            and self.search.space.budgets.are_met_by(costs, outcome.score),
            seconds=outcome.seconds,
            steps=outcome.steps,
            seed=self.search.space.search.seed,
            origin=trial.origin,
            started=started,
            ended=now_utc(),
            failure=outcome.failure,
        )
        on_front = self.journal.add(record, self._weights(record.number))
        self.proposer.finish(record)
        self.search.emit(
            TrialFinished(
                record=record,
                finished=len(self.journal.records),
                total=self.total,
                on_front=on_front,
                hypervolume=self.journal.front.hypervolume,
                best=self.journal.best(),
                left_s=self._left_s(runner),
            )
        )
        self._stop_if_always_failing(record)

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

    def _left_s(self, runner: Runner) -> float | None:
        recent = [record.seconds for record in self.journal.records[-20:] if record.steps]
        if not recent:
            return None
        to_go = self.total - len(self.journal.records)
        left = to_go * sum(recent) / len(recent) / runner.capacity
        if self.search.timeout_s is None:
            return left
        return min(left, max(0.0, self.search.timeout_s - (time.monotonic() - self.search.began)))

    def _excess(self, trial: BegunTrial) -> bool:
        violations = self.search.space.budgets.cost_violations(self.known.costs(trial.policy))
        return any(excess > 0 for excess in violations.values())

    def _why_exhausted(self) -> str:
        bounded = f" that meets {self.search.space.budgets}" if self.search.space.budgets else ""
        return f"Every policy{bounded} has been tried: {len(self.journal.records)} trials."

    def _stop(self, reason: str, message: str, resume: str | None = None) -> None:
        self.reason, self.message, self.resume = reason, message, resume

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _weights(self, number: int) -> Path:
        return self.search.folder.checkpoints / f".{number}.part.safetensors"


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
