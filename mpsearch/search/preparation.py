"""What a search needs before its first trial: task, layers, profile, costs, baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mpsearch.errors import RunError
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.events import Event, Notice, StageProgress, StageStarted
from mpsearch.search.known_costs import KnownCosts
from mpsearch.search.narrowing import narrowed, remarks
from mpsearch.search.resolve import ResolvedSpace, cost_model_of, device_models, resolve
from mpsearch.search.space import SearchSpace
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.layout import prepare_model
from mpsearch.training.task import Task, load_task

Emit = Callable[[Event], None]
_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TracedTask:
    """A task with its model's layers, and what the space leaves to choose among them.

    `allowed` is what overrides leave of `resolved`.
    """

    task: Task
    model: nn.Module
    trace: ModelTrace
    resolved: ResolvedSpace
    allowed: ResolvedSpace


def traced_task(space: SearchSpace, task: Task | None, emit: Emit) -> TracedTask:
    """Load the task, run its model once, apply the space's rules and overrides.

    Raises: TaskError, DataError, TraceError or ConfigError, as the step that fails.
    """
    emit(StageStarted(stage="task", detail=f"task {space.task.name}"))
    loaded = task or load_task(space.task.name, dict(space.task.args))
    model = prepare_model(loaded.new_model())
    trace = trace_model(model, loaded.example_inputs)
    resolved = resolve(space, trace)
    allowed = narrowed(resolved, space.overrides)
    for remark in remarks(resolved, space.overrides):
        emit(Notice(message=remark))
    return TracedTask(task=loaded, model=model, trace=trace, resolved=resolved, allowed=allowed)


def profiled_model(traced: TracedTask) -> ProfiledModel:
    """What a profile must hold for the task's model and the space's schemes."""
    return ProfiledModel(
        model=traced.model,
        example_inputs=tuple(traced.task.example_inputs),
        trace=traced.trace,
        schemes=traced.resolved.schemes,
    )


def usable_profile(
    traced: TracedTask,
    *,
    given: HardwareProfile | Path | None,
    stored: Path,
    has_begun: bool,
    threads: int,
    emit: Emit,
) -> HardwareProfile:
    """The profile that the search rests on: the given one, the run's own, or one measured now into `stored`.

    Raises: RunError if the run has another profile than the one given; ProfileError or FormatError if a
    profile cannot be read.
    """
    emit(StageStarted(stage="profile", detail="the hardware profile"))
    asked = HardwareProfile.load(given) if isinstance(given, Path) else given
    existing = HardwareProfile.load(stored) if stored.exists() else None
    if asked is not None:
        if has_begun and existing is not None and existing.to_dict() != asked.to_dict():
            raise RunError(
                f"A run keeps to one profile; {stored.parent} was searched with {existing.name!r} of "
                f"{existing.created}, not with {asked.name!r} of {asked.created}. Leave --hw out, or choose "
                "another --out."
            )
        _tell_if_foreign(asked, emit)
        return asked
    if existing is not None and profiled_model(traced).is_measured_in(existing):
        _tell_if_foreign(existing, emit)
        return existing

    def on_progress(done: int, total: int, what: str) -> None:
        emit(StageProgress(stage="profile", done=done, total=total, what=what))

    measured = profile_machine(
        name="this machine",
        threads=threads,
        models=[profiled_model(traced)],
        grid=False,
        existing=existing,
        on_progress=on_progress,
        on_measured=lambda profile: profile.save(stored),
    )
    for note in measured.notes:
        emit(Notice(message=note, is_warning=True))
    return measured


def known_costs(
    space: SearchSpace,
    traced: TracedTask,
    profile: HardwareProfile,
    emit: Emit,
    further: Sequence[HardwareProfile] = (),
) -> KnownCosts:
    """Costs of every policy, on `further` devices too, and the budgets checked against them.

    Raises: UnmeasuredError if a profile lacks a layer; BudgetError if no policy meets the budgets.
    """
    known = KnownCosts(
        traced.resolved,
        cost_model_of(space, traced.trace, profile),
        device_models(space, traced.trace, further),
    )
    known.require_reachable(space.budgets)
    for name, model in {profile.name: known.model, **known.on_devices}.items():
        guessed = model.interpolated_layers
        if guessed:
            emit(
                Notice(
                    message=f"The latency of {len(guessed)} of {len(model.layers)} layers is interpolated "
                    f"from other shapes in profile {name!r}. `mpsearch profile --space` would measure it."
                )
            )
    return known


def allowed_costs(space: SearchSpace, traced: TracedTask, known: KnownCosts) -> KnownCosts:
    """Costs of the policies that the overrides leave.

    Raises: BudgetError if none of them meets the budgets.
    """
    if not space.overrides:
        return known
    allowed = KnownCosts(traced.allowed, known.model, known.on_devices)
    allowed.require_reachable(space.budgets, among=f" with {space.overrides}")
    return allowed


def baseline_of(task: Task, threads: int, emit: Emit) -> Baseline:
    """The 32-bit model, trained now or read from the cache: one for all seeds of the search.

    Raises: TaskError if training diverges; StorageError if the cache cannot be written.
    """
    emit(StageStarted(stage="baseline", detail="32-bit baseline"))

    def on_step(step: int, total: int, loss: float) -> None:
        emit(StageProgress(stage="baseline", done=step, total=total, what=f"loss {loss:.3f}"))

    with torch_threads(threads):
        return trained_baseline(task, progress=on_step)


def _tell_if_foreign(profile: HardwareProfile, emit: Emit) -> None:
    differences = profile.matches(probe_machine())
    if differences:
        rest = len(differences) - _SHOWN_DIFFERENCES
        more = f"; and {rest} more" if rest > 0 else ""
        emit(
            Notice(
                message=f"Profile {profile.name!r} is from another machine, and the search is for that one: "
                + "; ".join(differences[:_SHOWN_DIFFERENCES])
                + more,
            )
        )
