"""Measure what a search needs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from mpsearch.hardware.fingerprint import MachineFingerprint, probe_machine
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.layer_shape import LayerShape
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import Scheme
from mpsearch.profiling.grid import grid_models
from mpsearch.profiling.layer_timing import time_layer
from mpsearch.profiling.memory_bandwidth import memory_bandwidth
from mpsearch.profiling.plan_timing import PlanSamples, reference_call, time_plans
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.random_plan import RandomPlans
from mpsearch.profiling.remainder_timing import time_remainder
from mpsearch.profiling.timer import DEFAULT_SETTINGS, PASS_SETTINGS, PassSettings, TimerSettings
from mpsearch.profiling.torch_threads import torch_threads

OnProgress = Callable[[int, int, str], None]
OnMeasured = Callable[[HardwareProfile], None]
DEFAULT_CACHE_BYTES = 32 << 20


def profile_machine(
    *,
    name: str,
    threads: int,
    models: Sequence[ProfiledModel] = (),
    grid: bool = False,
    existing: HardwareProfile | None = None,
    on_progress: OnProgress | None = None,
    on_measured: OnMeasured | None = None,
    settings: TimerSettings = DEFAULT_SETTINGS,
    pass_settings: PassSettings = PASS_SETTINGS,
) -> HardwareProfile:
    """Time every step that a policy of the models can lead to, and with `grid` many more.

    `existing` is completed: what it measured is kept if it comes from this machine, on as many threads, with
    weights from the same cache level; a profile of another machine is not mixed in. `on_measured` gets the
    profile after each part, so that nothing is lost when the rest is interrupted. `on_progress` gets parts
    done, parts in all, and what comes next.

    Raises: ConfigError if `threads` is below 1; ShapeError if a model cannot run without its layers.
    """
    fingerprint = probe_machine()
    if existing is not None and not existing.matches(fingerprint) and existing.threads == threads:
        profile = existing
    else:
        profile = _empty(name, threads, fingerprint)
    work = _Work(
        threads=threads, fingerprint=fingerprint, settings=settings, pass_settings=pass_settings, noisy=[]
    )
    jobs: list[_Job] = []
    taken: set[StepShape] = set()
    for model in (*models, *(grid_models() if grid else ())):
        jobs += work.jobs_of(model, profile, taken)
    total, done = sum(job.parts for job in jobs), 0
    for job in jobs:
        if on_progress is not None:
            on_progress(done, total, job.what)
        for parts, grown in job.run(profile):
            done, profile = done + parts, grown
            if on_measured is not None:
                on_measured(profile.adding(notes=work.notes()))
            if on_progress is not None:
                on_progress(done, total, job.what)
    if on_progress is not None:
        on_progress(total, total, "done")
    return profile.adding(notes=work.notes())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """Something to time in `parts`; `run` yields how many were done and the profile with them."""

    what: str
    parts: int
    run: Callable[[HardwareProfile], Iterator[tuple[int, HardwareProfile]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    threads: int
    fingerprint: MachineFingerprint
    settings: TimerSettings
    pass_settings: PassSettings
    noisy: list[str]

    def notes(self) -> list[str]:
        """What to tell of noise, if there was any."""
        if not self.noisy:
            return []
        shown = ", ".join(self.noisy[:3])
        shown += f" and {len(self.noisy) - 3} more" if len(self.noisy) > 3 else ""
        return [
            f"The machine was too busy: quartiles more than {self.settings.noise_limit:.0%} of the median "
            f"apart for {shown}. Profile again when it is idle, into a new file: what a file holds is kept."
        ]

    def jobs_of(self, model: ProfiledModel, profile: HardwareProfile, taken: set[StepShape]) -> list[_Job]:
        """What the profile lacks of a model. Steps in `taken` are timed for another one, and are added."""
        missing = tuple(
            step for step in model.steps() if step not in taken and not self._holds(profile, step, model)
        )
        taken.update(missing)
        if model.trace.graph is None:
            return self._torch_jobs(model, missing, profile)
        if not missing and (not model.has_passes or profile.has_whole_passes(model.trace.fingerprint)):
            return []
        contexts = self.pass_settings.contexts if model.has_passes else 1
        policies = model.covering(missing, contexts=contexts, seed=0)
        return [
            _Job(
                what=model.name,
                parts=len(policies),
                run=lambda profile: self._time_plans(model, policies, missing, profile),
            )
        ]

    def _holds(self, profile: HardwareProfile, step: StepShape, model: ProfiledModel) -> bool:
        measured = profile.measured(step)
        level = self.fingerprint.cache_level
        return measured is not None and (
            level(measured.footprint_bytes) == level(self._footprint_bytes(step, model))
        )

    def _footprint_bytes(self, step: StepShape, model: ProfiledModel) -> int:
        if step.kind != "call" or step.scheme is None:
            return model.footprint_bytes
        weights = sum(packed_size_bytes(layer.weight_count, step.scheme) for layer in model.trace.layers)
        return weights + model.trace.other_parameter_bytes

    def _time_plans(
        self,
        model: ProfiledModel,
        policies: Sequence[dict[str, Scheme]],
        missing: Sequence[StepShape],
        profile: HardwareProfile,
    ) -> Iterator[tuple[int, HardwareProfile]]:
        graph = model.trace.graph
        assert graph is not None
        shapes = {layer.name: layer.calls[0] for layer in model.trace.layers}
        plans = RandomPlans(model.model, graph, shapes, threads=self.threads)
        samples = PlanSamples()
        wanted = set(missing)
        settings = self.pass_settings
        if not model.has_passes:  # of a single layer: many of them, and for interpolation alone
            settings = replace(settings, turns=max(settings.turns // 4, 1), warm_up_s=0, turn_s=0)
        with torch_threads(self.threads), torch.inference_mode():
            reference = reference_call(self.threads)
            for first in range(0, len(policies), settings.models):
                batch = policies[first : first + settings.models]
                compiled = [plans.build(policy) for policy in batch]
                timed, reference_s, is_noisy = time_plans(
                    compiled, model.example_inputs[0], reference, settings
                )
                samples.reference_s += reference_s
                for one in timed:
                    samples.add(one)
                if is_noisy:
                    self.noisy.append(f"policies {first} to {first + len(batch) - 1} of {model.name}")
                profile = profile.adding(
                    measurements=[
                        samples.measurement(shape, footprint_bytes=model.footprint_bytes)
                        for shape in wanted.intersection(samples.of_step)
                    ],
                    passes=[samples.whole_passes(model.trace.fingerprint)] if model.has_passes else [],
                )
                yield len(batch), profile

    def _torch_jobs(
        self, model: ProfiledModel, missing: Sequence[StepShape], profile: HardwareProfile
    ) -> list[_Job]:
        jobs = []
        if model.has_passes and not profile.has_remainder(model.trace.fingerprint):
            jobs.append(
                _Job(
                    what=f"what stays 32-bit in {model.name}",
                    parts=1,
                    run=lambda profile: self._time_remainder(model, profile),
                )
            )
        by_shape: dict[LayerShape, dict[Scheme, int]] = {}
        for step in missing:
            assert step.layer is not None
            assert step.scheme is not None
            by_shape.setdefault(step.layer, {})[step.scheme] = self._footprint_bytes(step, model)
        jobs += [
            _Job(
                what=str(shape),
                parts=len(footprints),
                run=lambda profile, shape=shape, footprints=footprints: self._time_calls(  # type: ignore[misc]
                    shape, footprints, profile
                ),
            )
            for shape, footprints in by_shape.items()
        ]
        return jobs

    def _time_remainder(
        self, model: ProfiledModel, profile: HardwareProfile
    ) -> Iterator[tuple[int, HardwareProfile]]:
        remainder, is_noisy = time_remainder(
            model.model, model.example_inputs, model.trace, threads=self.threads, settings=self.settings
        )
        if is_noisy:
            self.noisy.append(model.name)
        yield 1, profile.adding(remainders=[remainder])

    def _time_calls(
        self, shape: LayerShape, footprints: dict[Scheme, int], profile: HardwareProfile
    ) -> Iterator[tuple[int, HardwareProfile]]:
        timed = time_layer(shape, footprints, threads=self.threads, settings=self.settings)
        self.noisy.extend(str(measured.shape) for measured, is_noisy in timed if is_noisy)
        yield len(footprints), profile.adding(measurements=[measured for measured, _ in timed])


def _empty(name: str, threads: int, fingerprint: MachineFingerprint) -> HardwareProfile:
    largest_cache = max((size for _, size in fingerprint.caches_bytes), default=DEFAULT_CACHE_BYTES)
    return HardwareProfile(
        name=name,
        fingerprint=fingerprint,
        threads=threads,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        memory_bandwidth_bytes_per_s=memory_bandwidth(threads=threads, largest_cache_bytes=largest_cache),
    )
