"""What a search needs before its first trial: task, layers, profile, costs, baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import ConfigError, RunError
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.trace import trace_model
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.events import Event, Notice, StageProgress, StageStarted
from mpsearch.search.known_costs import KnownCosts, on_all_devices
from mpsearch.search.narrowing import narrowed, remarks
from mpsearch.search.placement import Placement
from mpsearch.search.resolve import ResolvedSpace, cost_model_of, device_models, resolve
from mpsearch.search.space import SearchSpace
from mpsearch.search.width_tasks import Baselines, Tasks, load_tasks
from mpsearch.training.baseline import Baseline, trained_baseline
from mpsearch.training.batched_trials import why_one_by_one
from mpsearch.training.layout import prepare_model
from mpsearch.training.recipe import TrialRecipe
from mpsearch.training.recipe_needs import require_needs
from mpsearch.training.task import Task

Emit = Callable[[Event], None]
_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TracedModel:
    """A task at one width, and the layers of its model."""

    task: Task
    model: nn.Module
    trace: ModelTrace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TracedTask:
    """A task with its model's layers, and what the space leaves to choose among them.

    `models`: by width, the reference first; a space without widths has one, under None. All have the same
    layers, of different sizes. `allowed` is what overrides leave of `resolved`.
    """

    models: Mapping[float | None, TracedModel]
    resolved: ResolvedSpace
    allowed: ResolvedSpace

    @property
    def task(self) -> Task:
        """At the width of reference."""
        return next(iter(self.models.values())).task

    @property
    def trace(self) -> ModelTrace:
        """At the width of reference."""
        return next(iter(self.models.values())).trace

    @property
    def tasks(self) -> Tasks:
        return {width: model.task for width, model in self.models.items()}

    @property
    def traces(self) -> dict[float | None, ModelTrace]:
        return {width: model.trace for width, model in self.models.items()}

    @property
    def most_macs(self) -> int:
        """Multiplications of one sample in the widest model."""
        return max(sum(layer.macs for layer in trace.layers) for trace in self.traces.values())


def traced_task(space: SearchSpace, task: Task | None, emit: Emit) -> TracedTask:
    """Load the task at each width, run each model once, apply the space's rules and overrides.

    Raises: TaskError, DataError, TraceError or ConfigError, as the step that fails.
    """
    emit(StageStarted(stage="task", detail=f"task {space.task.name}"))
    models = {width: _traced(loaded, space.trial) for width, loaded in load_tasks(space, task).items()}
    _require_same_layers(space, models)
    resolved = resolve(space, next(iter(models.values())).trace)
    allowed = narrowed(resolved, space.overrides)
    for remark in remarks(resolved, space.overrides):
        emit(Notice(message=remark))
    return TracedTask(models=models, resolved=resolved, allowed=allowed)


def _traced(task: Task, recipe: TrialRecipe) -> TracedModel:
    model = prepare_model(task.new_model())
    trace = trace_model(model, task.example_inputs).with_extras(recipe.quantizers.extras)
    require_needs(recipe, task, model, trace)
    return TracedModel(task=task, model=model, trace=trace)


def _require_same_layers(space: SearchSpace, models: Mapping[float | None, TracedModel]) -> None:
    """Raises: ConfigError if a width changes more than the sizes of the layers, or changes nothing."""
    (reference, first), *others = models.items()
    layers = [(layer.name, layer.kind) for layer in first.trace.layers]
    fingerprints = {first.trace.fingerprint: reference}
    for width, model in others:
        found = [(layer.name, layer.kind) for layer in model.trace.layers]
        if found != layers:
            odd = next((name for name, _ in set(found) ^ set(layers)), "their order")
            raise ConfigError(
                f"The model must have the same layers at every width; at {width:g} and {reference:g} it "
                f"differs in {odd}. Search them in two spaces, or leave that width out."
            )
        same = fingerprints.setdefault(model.trace.fingerprint, width)
        if same != width:
            assert space.widths is not None
            raise ConfigError(
                f"Every width must give another model; {same:g} and {width:g} give the same. The task's "
                f"argument {space.widths.argument!r} must set the sizes of its layers; leave one out."
            )


def profiled_models(traced: TracedTask) -> tuple[ProfiledModel, ...]:
    """What a profile must hold for the task's model and the space's schemes, at each width."""
    return tuple(
        ProfiledModel(
            model=model.model,
            example_inputs=tuple(model.task.example_inputs),
            trace=model.trace,
            schemes=traced.resolved.schemes,
            label="" if width is None else f"{type(model.model).__name__} at width {width:g}",
        )
        for width, model in traced.models.items()
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
        _tell_if_threads_differ(asked, threads, emit)
        return asked
    models = profiled_models(traced)
    if existing is not None and all(model.is_measured_in(existing) for model in models):
        _tell_if_foreign(existing, emit)
        _tell_if_threads_differ(existing, threads, emit)
        return existing

    def on_progress(done: int, total: int, what: str) -> None:
        emit(StageProgress(stage="profile", done=done, total=total, what=what))

    measured = profile_machine(
        name="this machine",
        threads=threads,
        models=models,
        grid=False,
        existing=existing,
        on_progress=on_progress,
        on_measured=lambda profile: profile.save(stored),
    )
    for note in measured.notes:
        emit(Notice(message=note, is_warning=True))
    return measured


def _tell_if_threads_differ(profile: HardwareProfile, asked: int, emit: Emit) -> None:
    if asked not in (1, profile.threads):  # 1 is what nobody may have asked for
        message = (
            f"Latencies are those of {profile.threads} thread(s), as profile {profile.name!r} was measured, "
            f"not of {asked}. For others, measure a profile of its own."
        )
        emit(Notice(message=message, is_warning=True))


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
    known = KnownCosts(traced.resolved, cost_models(space, traced, profile, further))
    known.require_reachable(space.budgets)
    for width, on_devices in known.models.items():
        for device, model in on_devices.items():
            guessed = model.interpolated_layers
            if guessed:
                where = "" if width is None else f" at width {width:g}"
                name = profile.name if device is None else device
                emit(
                    Notice(
                        message=f"The latency of {len(guessed)} of {len(model.layers)} layers{where} is "
                        f"interpolated from other shapes in profile {name!r}. `mpsearch profile --space` "
                        "would measure it."
                    )
                )
    return known


def cost_models(
    space: SearchSpace,
    traced: TracedTask,
    profile: HardwareProfile,
    further: Sequence[HardwareProfile],
) -> dict[float | None, dict[str | None, CostModel]]:
    """Width -> device -> costs, as `KnownCosts` has them, in the order of the codes.

    Raises: UnmeasuredError if a profile lacks a layer.
    """
    return {
        width: on_all_devices(
            cost_model_of(space, traced.models[width].trace, profile),
            device_models(space, traced.models[width].trace, further),
        )
        for width in traced.resolved.widths or (None,)
    }


def allowed_costs(space: SearchSpace, traced: TracedTask, known: KnownCosts) -> KnownCosts:
    """Costs of the policies that the overrides leave.

    Raises: BudgetError if none of them meets the budgets.
    """
    if not space.overrides:
        return known
    allowed = KnownCosts(traced.allowed, known.models)
    allowed.require_reachable(space.budgets, among=f" with {space.overrides}")
    return allowed


def baselines_of(traced: TracedTask, threads: int, emit: Emit) -> Baselines:
    """The 32-bit model of each width, trained now or read from the cache: one for all seeds of the search.

    Raises: TaskError if training diverges; StorageError if the cache cannot be written.
    """

    def on_step(step: int, total: int, loss: float) -> None:
        emit(StageProgress(stage="baseline", done=step, total=total, what=f"loss {loss:.3f}"))

    found: dict[float | None, Baseline] = {}
    for width, model in traced.models.items():
        at = "" if width is None else f" at width {width:g}"
        emit(StageStarted(stage="baseline", detail=f"32-bit baseline{at}"))
        with torch_threads(threads):
            found[width] = trained_baseline(model.task, progress=on_step)
    return found


def usable_placement(placement: Placement, task: Task, recipe: TrialRecipe, emit: Emit) -> Placement:
    """The placement, with one trial at a time for each worker where several cannot be trained together."""
    if placement.batch == 1:
        return placement
    if placement.ray is not None:
        reason: str | None = "Over Ray each trial is a job of its own."
    else:
        reason = why_one_by_one(task, recipe)
    if reason is None:
        return placement
    emit(Notice(message=f"Policies are trained one by one. {reason}"))
    return replace(placement, batch=1)


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
