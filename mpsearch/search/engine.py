"""The search: from a space to a finished run, through any number of interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mpsearch.errors import ConfigError, MpsearchError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.budgets import Budgets
from mpsearch.search.clock import Clock
from mpsearch.search.constrained import deciding_budgets
from mpsearch.search.events import (
    Event,
    Notice,
    OnEvent,
    SearchFinished,
    SearchStarted,
)
from mpsearch.search.further_profiles import (
    GivenProfile,
    given_profiles,
)
from mpsearch.search.given_settings import with_settings
from mpsearch.search.held_out import score_front_on_test
from mpsearch.search.history import history_of
from mpsearch.search.journal import Journal, Log
from mpsearch.search.knowledge_stage import search_knowledge
from mpsearch.search.known_answer import known_answer
from mpsearch.search.next_training import next_training_of
from mpsearch.search.open_runner import open_runner, require_place
from mpsearch.search.overrides import Overrides
from mpsearch.search.placement import Placement
from mpsearch.search.preparation import (
    TracedTask,
    usable_placement,
)
from mpsearch.search.prepared_search import PreparedSearch, prepare_search
from mpsearch.search.proposer import Proposer
from mpsearch.search.reference_point import reference_point
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.run import Exporter, Run, load_run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sharing import Sharing, sharing_of
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import BegunTrial, StudyStore
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_loop import RESUME, TrialLoop
from mpsearch.search.width_tasks import Baselines
from mpsearch.training.task import Task


def run_search(
    space: SearchSpace,
    *,
    out: str | Path,
    task: Task | None = None,
    profile: GivenProfile | Sequence[GivenProfile] | None = None,
    trials: int | None = None,
    timeout_s: float | None = None,
    workers: int | None = None,
    batch: int | None = None,
    repeats: bool | None = None,
    ray: str | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float = 0.0,
    trial_timeout_s: float | None = None,
    budgets: Budgets | Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    free: Sequence[str] = (),
    seed: int | None = None,
    sampler: str | None = None,
    sensitivity: str | None = None,
    fidelities: Sequence[float] | None = None,
    objectives: Sequence[str] | None = None,
    threads: int = 1,
    storage: str | None = None,
    study: str | None = None,
    on_event: OnEvent | None = None,
    exporter: Exporter | None = None,
) -> Run:
    """Search a space into the folder `out`; a folder with the same search goes on where it was.

    Settings given here replace those of the space; `overrides` join its own, less those that `free` names.
    Budgets, overrides and objectives may change from call to call: trials that are there stay, count, and are
    judged anew. Before anything is trained: the task is loaded, its model traced, the profile loaded or
    measured on `threads` threads, budgets and overrides checked. Then the 32-bit baseline, the uniform
    policies (as near as the overrides let them come), and the sampler, until `trials` trials are there
    (failed ones count), `timeout_s` is over (no trial begins after it) or the space is exhausted. Last, the
    front is scored once on the test split. `task` replaces the space's own, for a task that has no name.
    `profile` may be several, the main one first: each further one gives policies a latency and an energy on
    that device. `storage` is the URL of a database where several drivers search one `study` (by default named
    as the folder).

    Raises: ConfigError, BudgetError, TaskError, DataError, TraceError, ProfileError, UnmeasuredError
    before any training, and the folder is then as it was but for a profile that was measured; RunError if
    the folder is in use or holds another search; StorageError if it cannot be written; TrialError if ten
    trials in a row fail for one reason; KeyboardInterrupt, with all finished trials on disk.
    """
    if timeout_s is not None and not timeout_s > 0:
        raise ConfigError(f"`timeout_s` must be above 0 seconds; got {timeout_s}.")
    folder = RunFolder(Path(out))
    found = folder.create()
    with folder.locked(), _as_found_unless_begun(folder, found):
        settled = with_settings(
            space,
            trials=trials,
            workers=workers,
            batch=batch,
            repeats=repeats,
            budgets=budgets,
            overrides=overrides,
            free=free,
            seed=seed,
            sampler=sampler,
            sensitivity=sensitivity,
            fidelities=fidelities,
            objectives=objectives,
            trial_timeout_s=trial_timeout_s,
        )
        search = _Search(
            space=settled,
            placement=Placement(
                workers=settled.search.workers if ray is None else workers,
                ray=ray,
                cpus_per_trial=cpus_per_trial,
                gpus_per_trial=gpus_per_trial,
                trial_limit_s=settled.search.trial_timeout_s,
                batch=settled.search.batch,
            ),
            freed=tuple(free),
            folder=folder,
            task=task,
            profiles=given_profiles(profile),
            timeout_s=timeout_s,
            threads=threads,
            sharing=sharing_of(folder, storage, study),
            on_event=on_event,
        )
        search.run()
    return replace(load_run(folder.path, exporter=exporter), task=task)


@contextmanager
def _as_found_unless_begun(folder: RunFolder, found: frozenset[Path]) -> Iterator[None]:
    try:
        yield
    finally:
        if not folder.has_begun:
            folder.discard(but=found)


@dataclass(kw_only=True, eq=False)
class _Search:
    """One call of `run_search`, holding the folder's lock."""

    space: SearchSpace
    freed: tuple[str, ...]
    folder: RunFolder
    task: Task | None
    profiles: tuple[HardwareProfile | Path, ...]
    timeout_s: float | None
    threads: int
    placement: Placement
    sharing: Sharing | None
    on_event: OnEvent | None

    def run(self) -> None:
        self.clock = Clock(self.timeout_s)
        self.log = Log(self.folder.log_file)
        try:
            self._run()
        except KeyboardInterrupt:
            self._finished("interrupted", "Interrupted.", resume=RESUME)
            raise
        except MpsearchError as error:
            self.log.write(f"{type(error).__name__}: {error}")
            raise

    def _run(self) -> None:
        trials = self.space.search.trials
        if self.placement.ray is not None and len(self.folder.written_records()) < trials:
            require_place(self.placement)
        ready = prepare_search(
            self.space,
            self.folder,
            task=self.task,
            profiles=self.profiles,
            sharing=self.sharing,
            freed=self.freed,
            threads=self.threads,
            emit=self.emit,
        )
        self.space, facts = ready.space, ready.facts
        reference = reference_point(self.space.objectives, facts.greatest_costs, facts.baseline.constant_loss)
        with ready.store(self.folder, self.emit) as store:
            lost = store.recover(self.folder.written_records())
            journal = Journal(self.folder, store, self.space, reference)
            journal.repair()
            if ready.earlier.has_new_bounds and journal.records:
                known_trials = pooled(journal.records)
                self.emit(Notice(message=known_answer(journal.best(), known_trials, self.space)))
            loop = self._loop(ready, store, journal, lost, reference)
            if loop.has_work:
                work = self._work(ready.traced, ready.baselines, ready.threads)
                placement = usable_placement(self.placement, ready.traced.task, self.space.trial, self.emit)
                with open_runner(work, placement, loop.report_step) as runner:
                    workers = runner.capacity // runner.batch
                    self._tell_started(ready, journal, loop, reference, workers=workers, batch=runner.batch)
                    loop.run(runner)
            else:
                self._tell_started(ready, journal, loop, reference, workers=max(self.space.search.workers, 1))
        scored = score_front_on_test(
            facts,
            ready.traced.tasks,
            ready.baselines,
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

    def _loop(
        self,
        ready: PreparedSearch,
        store: StudyStore,
        journal: Journal,
        lost: Sequence[BegunTrial],
        reference: Mapping[str, float],
    ) -> TrialLoop:
        knowledge = None
        if len(journal.records) < self.space.search.trials:
            knowledge = search_knowledge(
                self.space,
                ready.traced,
                known=ready.known,
                allowed=ready.allowed,
                baselines=ready.baselines,
                folder=self.folder,
                threads=ready.threads,
                emit=self.emit,
            )
        proposer = Proposer(
            ready.known,
            ready.allowed,
            objectives=self.space.objectives,
            budgets=self.space.budgets,
            overrides=self.space.overrides,
            sampler=sampler_named(self.space.search.sampler),
            seed=self.space.search.seed,
            knowledge=knowledge,
            history=journal.history,
            is_reordered=len(self.space.trial.fidelities) > 1,
        )
        return TrialLoop(
            space=self.space,
            folder=self.folder,
            clock=self.clock,
            emit=self.emit,
            known=ready.known,
            allowed=ready.allowed,
            store=store,
            journal=journal,
            proposer=proposer,
            lost=lost,
            next_training=next_training_of(self.space, knowledge, reference, ready.known.resolved.codes),
            is_rejudged=ready.facts.is_rejudged,
        )

    def _tell_started(
        self,
        ready: PreparedSearch,
        journal: Journal,
        loop: TrialLoop,
        reference: Mapping[str, float],
        *,
        workers: int,
        batch: int = 1,
    ) -> None:
        space, baseline = self.space, ready.facts.baseline
        deciding = deciding_budgets(space.objectives, space.budgets)
        self.emit(
            SearchStarted(
                name=space.name,
                out=self.folder.path,
                objectives=space.objectives,
                budgets=space.budgets,
                overrides=space.overrides,
                policies=ready.allowed.resolved.policies,
                total=space.search.trials,
                workers=workers,
                batch=batch,
                baseline_score=baseline.score,
                baseline_loss=baseline.loss,
                baseline_costs=baseline.costs,
                least_costs=ready.known.least_costs(),
                greatest_costs=ready.known.greatest_costs(),
                limit_s=self.clock.left_s,
                records=tuple(journal.records),
                history=history_of(journal.records, space.objectives, reference, space.overrides, deciding),
                front=tuple(sorted(journal.front.numbers)),
                knee=journal.front.knee(space.admits),
                waiting=loop.waiting,
            )
        )

    def emit(self, event: Event) -> None:
        self.log(event)
        if self.on_event is not None:
            self.on_event(event)

    def _work(self, traced: TracedTask, baselines: Baselines, threads: int) -> TrainingWork:
        return TrainingWork(
            space=self.space, threads=threads, tasks=traced.tasks, baselines=baselines
        ).as_it_can_travel(has_name=self.task is None)

    def _finished(
        self, reason: Any, message: str, *, resume: str | None, front: tuple[int, ...] = ()
    ) -> None:
        self.emit(
            SearchFinished(
                reason=reason,
                message=message,
                out=self.folder.path,
                seconds=self.clock.seconds,
                resume=resume,
                front=front,
            )
        )
