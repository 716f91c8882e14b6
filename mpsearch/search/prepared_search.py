"""All that a search does before its first trial: what it rests on is found out, checked and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mpsearch.atomic_file import write_atomically
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.baseline_measures import compressed_sizes, with_constant_loss
from mpsearch.search.changed_objectives import begin_study_anew
from mpsearch.search.earlier_call import EarlierCall, earlier_call
from mpsearch.search.events import Notice, OnEvent
from mpsearch.search.further_profiles import further_profiles, with_devices
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.narrowing import require_layer
from mpsearch.search.new_facts import new_facts
from mpsearch.search.preparation import (
    TracedTask,
    allowed_costs,
    baselines_of,
    known_costs,
    traced_task,
    usable_profile,
)
from mpsearch.search.processors import usable_cpus, worthwhile_threads
from mpsearch.search.run_facts import RunFacts
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.sharing import Sharing
from mpsearch.search.space import SearchSpace
from mpsearch.search.study import StudyStore
from mpsearch.search.study_facts import StudyFacts, facts_of
from mpsearch.search.width_tasks import Baselines
from mpsearch.training.task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSearch:
    """What trials rest on.

    `space` has the objectives that devices joined; `known` and `allowed` as in `TrialLoop`; `threads` are
    those that a training may use.
    """

    space: SearchSpace
    earlier: EarlierCall
    sharing: Sharing | None
    traced: TracedTask
    known: KnownCosts
    allowed: KnownCosts
    baselines: Baselines
    threads: int
    facts: RunFacts

    def store(self, folder: RunFolder, emit: OnEvent) -> StudyStore:
        """The study: the folder's own, or the one that it shares.

        Raises: as `StudyStore` and `SharedStudy`.
        """
        if self.sharing is not None:
            return self.sharing.open(self.known.resolved, self.space.objectives, emit)
        return StudyStore(folder.database, self.known.resolved, self.space.objectives)


def prepare_search(
    space: SearchSpace,
    folder: RunFolder,
    *,
    task: Task | None,
    profiles: Sequence[HardwareProfile | Path],
    sharing: Sharing | None,
    freed: Sequence[str],
    threads: int,
    emit: OnEvent,
) -> PreparedSearch:
    """From the end of this on, the folder is a run. Arguments as `run_search`, whose lock the caller holds.

    Raises: as `run_search`, before anything but a measured profile is written.
    """
    agreed = None if sharing is None else sharing.facts()
    if agreed is not None and not profiles:
        profiles = agreed.hardware_profiles()
    further = further_profiles(profiles, folder)
    space, joined = with_devices(space, [device.name for device in further], folder)
    for objective in joined:
        emit(
            Notice(
                message=f"{objective.name} joins the objectives: neither they nor the budgets name "
                f"{objective.device}."
            )
        )
    earlier = earlier_call(folder, space, is_shared=sharing is not None, emit=emit)
    traced = traced_task(space, task, emit)
    for pattern in freed:
        require_layer(pattern, traced.resolved, f"`free {pattern}`")
    prints = [trace.fingerprint for trace in traced.traces.values()]
    earlier.require_models(prints)
    profile = usable_profile(
        traced,
        given=profiles[0] if profiles else None,
        stored=folder.profile_file,
        has_begun=earlier.facts is not None,
        threads=threads,
        emit=emit,
    )

    def study_facts(study: Sharing, baseline: str) -> StudyFacts:
        return facts_of(study.uid, space, " ".join(prints), baseline, (profile, *further))

    if sharing is not None and agreed is not None:
        sharing.require_same(agreed, study_facts(sharing, agreed.baseline))
    known = known_costs(space, traced, profile, emit, further)
    allowed = allowed_costs(space, traced, known)
    worthwhile = worthwhile_threads(traced.most_macs, space.trial.batch_size)
    training_threads = min(worthwhile, len(usable_cpus()))
    baselines = baselines_of(traced, training_threads, emit)
    if sharing is not None and agreed is None and not profiles and sharing.facts():
        emit(Notice(message="Another driver has begun the study meanwhile: its profile is taken."))
        return prepare_search(
            space,
            folder,
            task=task,
            profiles=profiles,
            sharing=sharing,
            freed=freed,
            threads=threads,
            emit=emit,
        )
    compressed = compressed_sizes(space, traced, baselines, earlier.facts)
    if compressed is not None:
        known = known.with_compressed(compressed)
        if space.budgets.compressed_bytes is not None:
            known.require_reachable(space.budgets)
        allowed = allowed_costs(space, traced, known)
    keys = [baseline.key for baseline in baselines.values()]
    earlier.require_baselines(keys)
    if sharing is not None:
        sharing = sharing.settle(study_facts(sharing, " ".join(keys)), space.objectives)
    facts = earlier.facts or new_facts(
        traced, profile, further, known=known, baselines=baselines, compressed=compressed or {}
    )
    facts = with_constant_loss(facts, space, traced, baselines)
    if earlier.has_new_front:
        facts = replace(facts, is_rejudged=True)  # before the space: a kill may come before all have weights
    if earlier.is_rejudged:
        begin_study_anew(folder)
    _write_down(folder, space, facts, earlier.facts, profiles=(profile, *further))
    return PreparedSearch(
        space=space,
        earlier=earlier,
        sharing=sharing,
        traced=traced,
        known=known,
        allowed=allowed,
        baselines=baselines,
        threads=training_threads,
        facts=facts,
    )


def _write_down(
    folder: RunFolder,
    space: SearchSpace,
    facts: RunFacts,
    before: RunFacts | None,
    *,
    profiles: Sequence[HardwareProfile],
) -> None:
    """Of a new run the facts come last: they make it one."""
    if before is not None and facts != before:
        folder.write_json(folder.facts_file, facts.to_dict())
    write_atomically(folder.space_file, space.in_folder(folder.path).to_yaml())
    if before is None:
        main, *further = profiles
        main.save(folder.profile_file)
        for device in further:
            device.save(folder.device_profile_file(device.name))
        folder.write_json(folder.facts_file, facts.to_dict())
