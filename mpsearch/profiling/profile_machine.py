"""Measure what a search needs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from torch import Tensor, nn

from mpsearch.hardware.fingerprint import MachineFingerprint, probe_machine
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.kernels.packing import packed_size_bytes
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.scheme import SCHEMES, Scheme
from mpsearch.profiling.grid import grid_shapes
from mpsearch.profiling.layer_timing import time_layer
from mpsearch.profiling.memory_bandwidth import memory_bandwidth
from mpsearch.profiling.remainder_timing import time_remainder
from mpsearch.profiling.timer import DEFAULT_SETTINGS, TimerSettings

OnProgress = Callable[[int, int, str], None]
OnMeasured = Callable[[HardwareProfile], None]
ProfiledModel = tuple[nn.Module, tuple[Tensor, ...], ModelTrace]
DEFAULT_CACHE_BYTES = 32 << 20


def profile_machine(
    *,
    name: str,
    threads: int,
    shapes: Sequence[tuple[LayerShape, Scheme]],
    models: Sequence[ProfiledModel] = (),
    grid: bool = False,
    existing: HardwareProfile | None = None,
    on_progress: OnProgress | None = None,
    on_measured: OnMeasured | None = None,
    settings: TimerSettings = DEFAULT_SETTINGS,
) -> HardwareProfile:
    """Time every (shape, scheme), what stays 32-bit of every model, and with `grid` many more shapes.

    `existing` is completed: what it measured is kept if it comes from this machine, on as many threads, with
    weights from the same cache level; a profile of another machine is not mixed in. `on_measured` gets the
    profile after each step, so that nothing is lost when the rest is interrupted. `on_progress` gets
    steps done, steps in all, and what comes next.

    Raises: ConfigError if `threads` is below 1; ShapeError if a model cannot run without its layers.
    """
    fingerprint = probe_machine()
    if existing is not None and not existing.matches(fingerprint) and existing.threads == threads:
        profile = existing
    else:
        profile = _empty(name, threads, fingerprint)
    footprints = _footprints(shapes, models, fingerprint)
    todo = _unmeasured(profile, shapes, footprints, grid=grid)
    remainders = [model for model in models if not profile.has_remainder(model[2].fingerprint)]
    total, done = sum(map(len, todo.values())) + len(remainders), 0

    def progress(what: str) -> None:
        if on_progress is not None:
            on_progress(done, total, what)

    for model, inputs, trace in remainders:
        progress(f"what stays 32-bit in {type(model).__name__}")
        remainder, is_noisy = time_remainder(model, inputs, trace, threads=threads, settings=settings)
        notes = _noise_notes([type(model).__name__] if is_noisy else [], settings)
        profile = profile.adding(remainders=[remainder], notes=notes)
        done += 1
        if on_measured is not None:
            on_measured(profile)
    noisy = []
    for shape, schemes in todo.items():
        progress(str(shape))
        timed = time_layer(
            shape, {scheme: footprints[scheme] for scheme in schemes}, threads=threads, settings=settings
        )
        noisy += [f"{m.scheme} {m.shape}" for m, is_noisy in timed if is_noisy]
        profile = profile.adding(measurements=[measurement for measurement, _ in timed])
        done += len(schemes)
        if on_measured is not None:
            on_measured(profile.adding(notes=_noise_notes(noisy, settings)))
    progress("done")
    return profile.adding(notes=_noise_notes(noisy, settings))


def _empty(name: str, threads: int, fingerprint: MachineFingerprint) -> HardwareProfile:
    largest_cache = max((size for _, size in fingerprint.caches_bytes), default=DEFAULT_CACHE_BYTES)
    return HardwareProfile(
        name=name,
        fingerprint=fingerprint,
        threads=threads,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        memory_bandwidth_bytes_per_s=memory_bandwidth(threads=threads, largest_cache_bytes=largest_cache),
    )


def _footprints(
    shapes: Sequence[tuple[LayerShape, Scheme]],
    models: Iterable[ProfiledModel],
    fingerprint: MachineFingerprint,
) -> dict[Scheme, int]:
    """Scheme -> bytes of weights that one forward pass touches when every layer has that scheme.

    Without a model, the shapes are taken for one; without either, the weights fill half the L2 cache.
    """
    traces = [trace for _, _, trace in models]
    footprints = {}
    for scheme in SCHEMES.values():
        of_models = [
            trace.other_parameter_bytes
            + sum(packed_size_bytes(layer.weight_count, scheme) for layer in trace.layers)
            for trace in traces
        ]
        of_shapes = sum(packed_size_bytes(shape.weight_count, scheme) for shape in {s for s, _ in shapes})
        default = dict(fingerprint.caches_bytes).get("L2", 1 << 20) // 2
        footprints[scheme] = max(of_models, default=of_shapes) or default
    return footprints


def _unmeasured(
    profile: HardwareProfile,
    shapes: Sequence[tuple[LayerShape, Scheme]],
    footprints: dict[Scheme, int],
    *,
    grid: bool,
) -> dict[LayerShape, list[Scheme]]:
    """Shape -> schemes still to be timed, each once."""
    wanted = dict.fromkeys(shapes)
    if grid:
        wanted |= dict.fromkeys((shape, scheme) for shape in grid_shapes() for scheme in SCHEMES.values())
    level = profile.fingerprint.cache_level
    todo: dict[LayerShape, list[Scheme]] = {}
    for shape, scheme in wanted:
        measured = profile.measured(shape, scheme)
        if measured is None or level(measured.footprint_bytes) != level(footprints[scheme]):
            todo.setdefault(shape, []).append(scheme)
    return todo


def _noise_notes(noisy: Sequence[str], settings: TimerSettings) -> list[str]:
    if not noisy:
        return []
    shown = ", ".join(noisy[:3]) + (f" and {len(noisy) - 3} more" if len(noisy) > 3 else "")
    return [
        f"The machine was too busy: quartiles more than {settings.noise_limit:.0%} of the median apart for "
        f"{shown}. Profile again when it is idle, into a new file: what a file holds is kept."
    ]
