"""Everything about a search that can be told without searching."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from mpsearch.cost.cost_model import CostModel
from mpsearch.cost.cost_term import COST_COLUMNS
from mpsearch.cost.layer_terms import LatencyTerms, weight_terms
from mpsearch.errors import ConfigError, KernelError, TrialError
from mpsearch.hardware.energy_table import horowitz_table
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.checkup_machine import load_average
from mpsearch.search.estimate import (
    NO_TIME,
    Span,
    TimedTrial,
    TimeEstimate,
    TimePart,
    Workforce,
    relearns,
    steps_range,
    trials_span,
)
from mpsearch.search.further_profiles import GivenProfile, further_profiles, given_profiles, with_devices
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.narrowing import narrowed, remarks
from mpsearch.search.objective import COSTS, OBJECTIVES
from mpsearch.search.preparation import TracedTask, cost_models, profiled_models, traced_task
from mpsearch.search.processors import usable_cpus, worthwhile_threads
from mpsearch.search.quantities import format_duration
from mpsearch.search.quick_profile import LONGEST_PASS_S, QuickProfile, is_quick, quick_profile
from mpsearch.search.reach import SpaceReach, random_codes, reach_of
from mpsearch.search.resolve import ResolvedSpace, full_precision_costs
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.search_plan import PlannedProfile, SearchPlan
from mpsearch.search.sensitivity import SENSITIVITIES
from mpsearch.search.sensitivity_stage import known_sensitivity, needs_sensitivity, sensitivity_probes
from mpsearch.search.sensitivity_timing import sensitivity_span
from mpsearch.search.space import SearchSpace
from mpsearch.search.trial_timing import TimedBaseline, TimedTrials, time_baseline, time_trials
from mpsearch.training.task import Task

OnStep = Callable[[str], None]
_DRAWN = 512  # policies that stand for what a sampler proposes
_FRONT = (0.1, 0.3, 0.6)  # shares of the trials that end on the front: at least, likely, at most


def plan_search(
    space: SearchSpace,
    *,
    source: str = "",
    task: Task | None = None,
    profile: GivenProfile | Sequence[GivenProfile] | None = None,
    stored: RunFolder | None = None,
    threads: int = 1,
    with_time: bool = True,
    on_step: OnStep = lambda _: None,
) -> SearchPlan:
    """Load the task, trace its model, price its policies, and time a few steps of training.

    Latencies come from `profile` (or several, the main one first), else from the run `stored`, which would go
    on, else from a quick measurement on `threads` threads, if a pass is short. Nothing is written.

    Raises: ConfigError, TaskError, DataError, TraceError as a search; UnmeasuredError if the profile that is
    given lacks a layer. Budgets that no policy meets are part of the plan.
    """
    load = load_average()
    on_step(f"loading task {space.task.name}")
    started = time.perf_counter()
    traced = traced_task(space, task, lambda _: None)
    load_s = time.perf_counter() - started
    resolved = narrowed(traced.resolved, space.overrides)
    profiles = given_profiles(profile)
    further = further_profiles(profiles, stored if not profiles else None)
    space, _ = with_devices(space, [device.name for device in further])
    planned, measured, quick = _profile(traced, profiles[0] if profiles else None, stored, threads, on_step)
    on_step("pricing policies")
    if measured is None:
        known = KnownCosts(resolved, _without_latency(traced))
        told = tuple(cost for cost in COSTS if cost.unit != "s")
        full = None
    else:
        known = KnownCosts(resolved, cost_models(space, traced, measured, further))
        told = known.columns
        full = full_precision_costs(traced.trace, measured, further)
        guessed = {layer for models in known.models.values() for layer in models[None].interpolated_layers}
        planned = replace(planned, interpolated_layers=len(guessed))
    reach = reach_of(known, space.budgets, costs=told, seed=space.search.seed)
    estimate = None
    if with_time and reach.is_feasible:
        profiling = _profiling(traced, quick, known, planned)
        before = [
            TimePart(name="task", span=_loading(space, load_s), detail="load the data, trace the model"),
            profiling,
        ]
        estimate = _estimate(space, traced, known, reach, before=before, stored=stored, on_step=on_step)
    return SearchPlan(
        space=space,
        source=source,
        traces=traced.traces,
        resolved=resolved,
        remarks=remarks(traced.resolved, space.overrides),
        profile=planned,
        further=tuple(_planned("given" if profiles else "run", device) for device in further),
        reach=reach,
        full_precision=full,
        time=estimate,
        load=load,
        cores=len(usable_cpus()),
    )


def _profile(
    traced: TracedTask,
    given: HardwareProfile | Path | None,
    stored: RunFolder | None,
    threads: int,
    on_step: OnStep,
) -> tuple[PlannedProfile, HardwareProfile | None, QuickProfile | None]:
    asked = HardwareProfile.load(given) if isinstance(given, Path) else given
    if asked is not None:
        return _planned("given", asked), asked, None
    wanted = profiled_models(traced)
    if stored is not None and stored.profile_file.exists():
        existing = HardwareProfile.load(stored.profile_file)
        if all(model.is_measured_in(existing) for model in wanted):
            return _planned("run", existing), existing, None
    if not is_quick(wanted, threads):
        why = f"one pass of the model takes more than {1e3 * LONGEST_PASS_S:.0f} ms: too long to measure here"
        return PlannedProfile(origin="none", why=why), None, None
    on_step("measuring latency, quickly")
    try:
        quick = quick_profile(wanted, threads)
    except KernelError as error:
        return PlannedProfile(origin="none", why=str(error)), None, None
    planned = PlannedProfile(origin="quick", name=quick.profile.name, seconds=quick.seconds, threads=threads)
    return planned, quick.profile, quick


def _planned(origin: str, profile: HardwareProfile) -> PlannedProfile:
    return PlannedProfile(
        origin=origin,  # type: ignore[arg-type]
        name=profile.name,
        threads=profile.threads,
        differences=profile.matches(probe_machine()),
    )


def _without_latency(traced: TracedTask) -> dict[float | None, dict[str | None, CostModel]]:
    """Memory and energy, which no machine needs to be measured for; latencies are 0 and not to be told."""
    schemes = traced.resolved.schemes
    nothing = LatencyTerms(terms=(), constant=np.zeros(len(COST_COLUMNS)))

    def of_width(width: float | None) -> CostModel:
        trace = traced.models[width].trace
        return CostModel(trace, schemes, nothing, weight_terms(trace, schemes, horowitz_table()))

    return {width: {None: of_width(width)} for width in traced.resolved.widths or (None,)}


def _profiling(
    traced: TracedTask, quick: QuickProfile | None, known: KnownCosts, planned: PlannedProfile
) -> TimePart:
    """What the search will take to measure its profile."""
    if quick is not None:
        latency = known.range_of(OBJECTIVES["latency"])
        span = quick.whole_span(profiled_models(traced), (latency.least + latency.greatest) / 2)
        return TimePart(name="profile", span=span, detail="once; noise on the machine makes it longer")
    if planned.origin == "none":
        return TimePart(name="profile", span=NO_TIME, detail="not estimated: see above")
    return TimePart(name="profile", span=NO_TIME, detail="is there")


def _estimate(
    space: SearchSpace,
    traced: TracedTask,
    known: KnownCosts,
    reach: SpaceReach,
    *,
    before: Sequence[TimePart],
    stored: RunFolder | None,
    on_step: OnStep,
) -> TimeEstimate:
    cpus = len(usable_cpus())
    worthwhile = worthwhile_threads(traced.most_macs, space.trial.batch_size)
    workers = max(space.search.workers, 1)
    share = max(cpus // workers, 1)
    workforce = Workforce(workers=workers, threads=min(worthwhile, share), cpus=cpus)
    anchors = known.resolved.anchors()
    drawn = _drawn(space, known)
    on_step("timing the 32-bit baseline")
    with torch_threads(min(worthwhile, cpus)):
        baselines = {width: time_baseline(task) for width, task in traced.tasks.items()}
        sensitivity = _sensitivity_parts(space, traced, baselines, stored, on_step)
    baseline = reduce(add, baselines.values())
    with torch_threads(workforce.threads):
        timed = reduce(
            add,
            (
                time_trials(
                    task,
                    baselines[width].baseline,
                    _representative(known.resolved, drawn, width),
                    space.trial,
                    seed=space.search.seed,
                    on_step=on_step,
                )
                for width, task in traced.tasks.items()
            ),
        )
    trials = _trials(space, known, reach, anchors)
    first, rest = trials_span(
        anchors=anchors, others=drawn, trials=trials, recipe=space.trial, timed=timed.trials
    )
    return TimeEstimate(
        parts=(
            *before,
            _baseline_part(baseline),
            *sensitivity,
            TimePart(
                name=_counted(min(len(anchors), trials), "uniform policy", "uniform policies"),
                span=workforce.divide(first),
                detail=_trial_text(space, anchors, timed.trials, may_stop=False),
            ),
            TimePart(
                name=_counted(max(trials - len(anchors), 0), "more trial", "more trials"),
                span=workforce.divide(rest),
                detail=_trial_text(space, drawn, timed.trials, may_stop=True),
            ),
            _test_part(traced.task, timed, trials),
        ),
        workforce=workforce,
        trials=trials,
        failures=timed.failures,
    )


def _loading(space: SearchSpace, load_s: float) -> Span:
    """Workers load the task too, all at once."""
    return Span.exactly(load_s if space.search.workers == 1 else 2 * load_s)


def _drawn(space: SearchSpace, known: KnownCosts) -> list[PrecisionPolicy]:
    """Random policies within the budgets: they stand for what a sampler will propose."""
    codes = random_codes(known.resolved.sizes, _DRAWN, space.search.seed)
    within = codes[known.feasible(codes, space.budgets)]
    if not len(within):
        found = known.random_feasible(np.random.default_rng(space.search.seed), space.budgets, ())
        within = codes[:0] if found is None else found[None]
    return [known.resolved.policy(row) for row in within]


def _representative(
    resolved: ResolvedSpace, drawn: list[PrecisionPolicy], width: float | None
) -> list[PrecisionPolicy]:
    """Few policies to time: the lowest and the highest uniform ones, and mixed ones that train like them."""
    trained = [p for p in resolved.anchors() if p.width == width and not p.is_full_precision]
    chosen = [trained[-1], trained[0]] if trained else []
    low = {relearns(policy) for policy in chosen}
    mixed = [policy for policy in drawn if policy.width == width]
    chosen += [next((p for p in mixed if relearns(p) == kind), chosen[0]) for kind in sorted(low)]
    return [policy for policy in dict.fromkeys(chosen) if not policy.is_full_precision]


def _trials(
    space: SearchSpace, known: KnownCosts, reach: SpaceReach, anchors: tuple[PrecisionPolicy, ...]
) -> int:
    """As many as are asked for, or as there are policies within the budgets and uniform ones."""
    if reach.feasible_policies is None:
        return space.search.trials
    outside = sum(
        any(excess > 0 for excess in space.budgets.cost_violations(known.costs(policy)).values())
        for policy in anchors
    )
    return min(space.search.trials, reach.feasible_policies + outside)


def _baseline_part(baseline: TimedBaseline) -> TimePart:
    detail = "is there" if baseline.is_there else f"once: {baseline.steps:,} steps, then kept in the cache"
    return TimePart(name="32-bit baseline", span=baseline.span, detail=detail)


def _sensitivity_parts(
    space: SearchSpace,
    traced: TracedTask,
    timed: Mapping[float | None, TimedBaseline],
    stored: RunFolder | None,
    on_step: OnStep,
) -> tuple[TimePart, ...]:
    """What comes before the first trial where the sampler listens to it; of an untrained model as long."""
    method = space.search.sensitivity
    if not needs_sensitivity(space, traced):
        return ()
    baselines = {width: found.baseline for width, found in timed.items()}
    if stored is not None and known_sensitivity(stored, method, baselines) is not None:
        return (TimePart(name="sensitivity", span=NO_TIME, detail="is there"),)
    on_step(f"timing the sensitivity of layers: {method}")
    try:
        span = sensitivity_span(method, sensitivity_probes(space, traced, baselines).values())
    except (ConfigError, TrialError) as error:
        return (TimePart(name="sensitivity", span=NO_TIME, detail=f"{method} failed: {error}"),)
    says = SENSITIVITIES[method].says
    return (TimePart(name="sensitivity", span=span, detail=f"once: {says}"),)


def _trial_text(
    space: SearchSpace,
    policies: Iterable[PrecisionPolicy],
    timed: Sequence[TimedTrial],
    *,
    may_stop: bool,
) -> str:
    fewest, most = steps_range(policies, space.trial, may_stop=may_stop)
    steps = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    if not timed:
        return f"{steps} steps"
    step_s = sum(one.step_s.likely_s for one in timed) / len(timed)
    around_s = sum(one.around_s.likely_s for one in timed) / len(timed)
    rungs = len(space.trial.fidelities)
    at_each = "" if rungs == 1 else f" at each of {'up to ' if may_stop else ''}{rungs} fidelities"
    return (
        f"{steps} steps of {format_duration(step_s)}, and {format_duration(around_s)} around them"
        f"{at_each}, each"
    )


def _test_part(task: Task, timed: TimedTrials, trials: int) -> TimePart:
    if task.test is None:
        return TimePart(name="test split", span=NO_TIME, detail="the task has none")
    one_s = timed.score_s * len(task.test)
    least, likely, most = (1 + share * trials for share in _FRONT)
    span = Span.exactly(one_s).times(least, likely, most)
    return TimePart(name="test split", span=span, detail=f"the front, {format_duration(one_s)} each")


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
