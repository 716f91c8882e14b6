"""The search: from a space to a finished run, through any number of interruptions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import write_atomically
from mpsearch.cost.layer_terms import CompressedWeights
from mpsearch.errors import ConfigError, MpsearchError, RunError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.baseline_measures import compressed_sizes, with_constant_loss
from mpsearch.search.budgets import Budgets
from mpsearch.search.changed_objectives import begin_study_anew
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
    further_profiles,
    given_profiles,
    with_devices,
)
from mpsearch.search.given_settings import with_settings
from mpsearch.search.held_out import score_front_on_test
from mpsearch.search.history import history_of
from mpsearch.search.journal import Journal, Log
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_answer import known_answer
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.known_policies_of import known_policies_of
from mpsearch.search.narrowing import require_layer
from mpsearch.search.next_training import next_training_of
from mpsearch.search.open_runner import open_runner, require_place
from mpsearch.search.overrides import Overrides
from mpsearch.search.placement import Placement
from mpsearch.search.preparation import (
    TracedTask,
    allowed_costs,
    baselines_of,
    known_costs,
    traced_task,
    usable_placement,
    usable_profile,
)
from mpsearch.search.processors import usable_cpus, worthwhile_threads
from mpsearch.search.proposer import Proposer
from mpsearch.search.repeated_trials import pooled
from mpsearch.search.resolve import full_precision_costs
from mpsearch.search.run import Exporter, Run, load_run, reference_point
from mpsearch.search.run_facts import FACTS_SCHEMA, BaselineScore, RunFacts, WidthFacts, installed_version
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sensitivity_stage import search_proxy
from mpsearch.search.sharing import Sharing, sharing_of
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import load_stored_space
from mpsearch.search.study import StudyStore
from mpsearch.search.study_facts import StudyFacts, facts_of
from mpsearch.search.training_work import TrainingWork
from mpsearch.search.trial_loop import RESUME, TrialLoop
from mpsearch.search.trial_record import now_utc
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
        self.has_new_bounds = False  # budgets or overrides other than in the call before
        self.is_rejudged = False  # by other objectives than in the call before
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
        agreed = None if self.sharing is None else self.sharing.facts()
        if agreed is not None and not self.profiles:
            self.profiles = agreed.hardware_profiles()
        further = further_profiles(self.profiles, self.folder)
        self.space, joined = with_devices(self.space, [device.name for device in further], self.folder)
        for objective in joined:
            self.emit(
                Notice(
                    message=f"{objective.name} joins the objectives: neither they nor the budgets name "
                    f"{objective.device}."
                )
            )
        known_facts = self._stored_facts()
        traced = traced_task(self.space, self.task, self.emit)
        for pattern in self.freed:
            require_layer(pattern, traced.resolved, f"`free {pattern}`")
        prints = tuple(trace.fingerprint for trace in traced.traces.values())
        if known_facts is not None and tuple(model.fingerprint for model in known_facts.models) != prints:
            raise RunError(
                f"A run keeps to one model; that of task {self.space.task.name!r} has other layers than when "
                f"{self.folder.path} was begun. Choose another --out."
            )
        profile = usable_profile(
            traced,
            given=self.profiles[0] if self.profiles else None,
            stored=self.folder.profile_file,
            has_begun=known_facts is not None,
            threads=self.threads,
            emit=self.emit,
        )
        if self.sharing is not None and agreed is not None:
            self.sharing.require_same(agreed, self._study_facts(prints, agreed.baseline, profile, further))
        known = known_costs(self.space, traced, profile, self.emit, further)
        allowed = allowed_costs(self.space, traced, known)
        worthwhile = worthwhile_threads(traced.most_macs, self.space.trial.batch_size)
        threads = min(worthwhile, len(usable_cpus()))
        baselines = baselines_of(traced, threads, self.emit)
        if self.sharing is not None and agreed is None and not self.profiles and self.sharing.facts():
            self.emit(Notice(message="Another driver has begun the study meanwhile: its profile is taken."))
            self._run()
            return
        compressed = compressed_sizes(self.space, traced, baselines, known_facts)
        if compressed is not None:
            known = known.with_compressed(compressed)
            if self.space.budgets.compressed_bytes is not None:
                known.require_reachable(self.space.budgets)
            allowed = allowed_costs(self.space, traced, known)
        facts = self._settle(
            known_facts, traced, profile, further, known=known, baselines=baselines, compressed=compressed
        )
        reference = reference_point(self.space.objectives, facts.greatest_costs, facts.baseline.constant_loss)
        with self._store(known) as store:
            lost = store.recover(self.folder.written_records())
            journal = Journal(self.folder, store, self.space, reference)
            journal.repair()
            if self.has_new_bounds and journal.records:
                known_trials = pooled(journal.records)
                self.emit(Notice(message=known_answer(journal.best(), known_trials, self.space)))
            knowledge = None
            if len(journal.records) < self.space.search.trials:
                knowledge = self._knowledge(traced, known, allowed, baselines, threads)
            loop = TrialLoop(
                space=self.space,
                folder=self.folder,
                clock=self.clock,
                emit=self.emit,
                known=known,
                allowed=allowed,
                store=store,
                journal=journal,
                proposer=Proposer(
                    known,
                    allowed,
                    objectives=self.space.objectives,
                    budgets=self.space.budgets,
                    overrides=self.space.overrides,
                    sampler=sampler_named(self.space.search.sampler),
                    seed=self.space.search.seed,
                    knowledge=knowledge,
                    history=journal.history,
                    is_reordered=len(self.space.trial.fidelities) > 1,
                ),
                lost=deque(lost),
                next_training=next_training_of(self.space, knowledge, reference, known.resolved.codes),
                is_rejudged=self.is_rejudged,
            )

            def started(workers: int, batch: int = 1) -> SearchStarted:
                return SearchStarted(
                    name=self.space.name,
                    out=self.folder.path,
                    objectives=self.space.objectives,
                    budgets=self.space.budgets,
                    overrides=self.space.overrides,
                    policies=allowed.resolved.policies,
                    total=self.space.search.trials,
                    workers=workers,
                    batch=batch,
                    baseline_score=facts.baseline.score,
                    baseline_loss=facts.baseline.loss,
                    baseline_costs=facts.baseline.costs,
                    least_costs=known.least_costs(),
                    greatest_costs=known.greatest_costs(),
                    limit_s=self.clock.left_s,
                    records=tuple(journal.records),
                    history=history_of(
                        journal.records,
                        self.space.objectives,
                        reference,
                        self.space.overrides,
                        deciding_budgets(self.space.objectives, self.space.budgets),
                    ),
                    front=tuple(sorted(journal.front.numbers)),
                    knee=journal.front.knee(self.space.admits),
                    waiting=loop.waiting,
                )

            if loop.has_work:
                work = self._work(traced, baselines, threads)
                placement = usable_placement(self.placement, traced.task, self.space.trial, self.emit)
                with open_runner(work, placement, loop.report_step) as runner:
                    self.emit(started(runner.capacity // runner.batch, runner.batch))
                    loop.run(runner)
            else:
                self.emit(started(max(self.space.search.workers, 1)))
        scored = score_front_on_test(
            facts,
            traced.tasks,
            baselines,
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

    def _stored_facts(self) -> RunFacts | None:
        """What an earlier call left here, if it came to its first trial.

        Raises: RunError if it searched for something else.
        """
        if not self.folder.exists:
            return None
        before = load_stored_space(self.folder.space_file)
        changed = list(before.differences(self.space))
        bounds = self.space.budgets, self.space.overrides
        self.has_new_bounds = (before.budgets, before.overrides) != bounds
        if "objectives" in changed and self.sharing is None:
            changed.remove("objectives")
            self.is_rejudged = not changed
        if self.is_rejudged:
            names = ", ".join(objective.name for objective in self.space.objectives)
            self.emit(Notice(message=f"The objectives are now {names}: finished trials are judged anew."))
        elif changed:
            raise RunError(
                f"{self.folder.path} holds another search: {', '.join(changed)} "
                f"{'differs' if len(changed) == 1 else 'differ'}. "
                "Budgets, overrides, objectives (of a study that is not shared), trials, workers, batch and "
                "times may change from call to call; for the rest choose another --out."
            )
        return RunFacts.from_dict(self.folder.read_json(self.folder.facts_file, schema=FACTS_SCHEMA))

    def _settle(
        self,
        facts: RunFacts | None,
        traced: TracedTask,
        profile: HardwareProfile,
        further: Sequence[HardwareProfile],
        *,
        known: KnownCosts,
        baselines: Baselines,
        compressed: Mapping[float | None, CompressedWeights] | None,
    ) -> RunFacts:
        """Write down what the trials will rest on; from here on the folder is a run."""
        keys = tuple(baseline.key for baseline in baselines.values())
        if facts is not None and tuple(found.key for found in facts.baselines) != keys:
            raise RunError(
                f"A run keeps to one baseline; data or recipe of task {self.space.task.name!r} changed since "
                f"{self.folder.path} was begun. Choose another --out."
            )
        if self.sharing is not None:
            prints = tuple(trace.fingerprint for trace in traced.traces.values())
            mine = self._study_facts(prints, " ".join(keys), profile, further)
            self.sharing = self.sharing.settle(mine, self.space.objectives)
        if self.is_rejudged:
            begin_study_anew(self.folder)
        if facts is not None:
            completed = with_constant_loss(facts, self.space, traced, baselines)
            if completed != facts:
                self.folder.write_json(self.folder.facts_file, completed.to_dict())
        write_atomically(self.folder.space_file, self.space.in_folder(self.folder.path).to_yaml())
        if facts is not None:
            return completed
        sizes = compressed or {}
        profile.save(self.folder.profile_file)
        for device in further:
            device.save(self.folder.device_profile_file(device.name))
        (_, first), *others = {
            width: WidthFacts(
                baseline=BaselineScore(
                    key=baselines[width].key,
                    score=baselines[width].validation_score,
                    loss=baselines[width].validation_loss,
                    costs=full_precision_costs(trace, profile, further, sizes.get(width)),
                    compressed={
                        layer: {scheme.name: size for scheme, size in of_layer.items()}
                        for layer, of_layer in sizes[width].items()
                    },
                ),
                model=trace,
            )
            for width, trace in traced.traces.items()
        }.items()
        facts = RunFacts(
            created=now_utc(),
            version=installed_version(),
            baseline=first.baseline,
            greatest_costs=known.greatest_costs(),
            model=first.model,
            metric=traced.task.metric_name,
            validation_samples=len(traced.task.validation),
            test_samples=None if traced.task.test is None else len(traced.task.test),
            other_widths={width: found for width, found in others if width is not None},
        )
        facts = with_constant_loss(facts, self.space, traced, baselines)
        self.folder.write_json(self.folder.facts_file, facts.to_dict())
        return facts

    def _knowledge(
        self, traced: TracedTask, known: KnownCosts, allowed: KnownCosts, baselines: Baselines, threads: int
    ) -> Knowledge | None:
        """What the sampler is told, where it listens."""
        if not sampler_named(self.space.search.sampler).uses_knowledge:
            return None
        policies = known_policies_of(
            known,
            objectives=self.space.objectives,
            budgets=self.space.budgets,
            allowed=allowed.resolved if self.space.overrides else None,
        )
        proxy = search_proxy(
            self.space, traced, baselines, folder=self.folder, threads=threads, emit=self.emit
        )
        return Knowledge(policies=policies, proxy=proxy, samples=len(traced.task.validation))

    def _study_facts(
        self,
        prints: tuple[str, ...],
        baseline: str,
        profile: HardwareProfile,
        further: Sequence[HardwareProfile],
    ) -> StudyFacts:
        uid = "" if self.sharing is None else self.sharing.uid
        return facts_of(uid, self.space, " ".join(prints), baseline, (profile, *further))

    def _store(self, known: KnownCosts) -> StudyStore:
        if self.sharing is not None:
            return self.sharing.open(known.resolved, self.space.objectives, self.emit)
        return StudyStore(self.folder.database, known.resolved, self.space.objectives)

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
