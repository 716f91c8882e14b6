"""What the sampler of a search is told, found out before the first trial."""

from __future__ import annotations

from mpsearch.search.events import OnEvent
from mpsearch.search.knowledge import Knowledge
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.known_policies_of import known_policies_of
from mpsearch.search.preparation import TracedTask
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sensitivity_stage import search_proxy
from mpsearch.search.space import SearchSpace
from mpsearch.search.width_tasks import Baselines


def search_knowledge(
    space: SearchSpace,
    traced: TracedTask,
    *,
    known: KnownCosts,
    allowed: KnownCosts,
    baselines: Baselines,
    folder: RunFolder,
    threads: int,
    emit: OnEvent,
) -> Knowledge | None:
    """None where the sampler does not listen. `known` and `allowed` as in `TrialLoop`.

    Raises: as `known_policies_of` and `search_proxy`.
    """
    if not sampler_named(space.search.sampler).uses_knowledge:
        return None
    policies = known_policies_of(
        known,
        objectives=space.objectives,
        budgets=space.budgets,
        allowed=allowed.resolved if space.overrides else None,
    )
    proxy = search_proxy(space, traced, baselines, folder=folder, threads=threads, emit=emit)
    return Knowledge(policies=policies, proxy=proxy, samples=len(traced.task.validation))
