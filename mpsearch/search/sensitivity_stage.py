"""The stage of a search that finds out how much each choice loses, before the first trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mpsearch.errors import ConfigError, TrialError
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.search.events import Event, Notice, StageProgress, StageStarted
from mpsearch.search.preparation import TracedTask
from mpsearch.search.proxy import Proxy
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.samplers import sampler_named
from mpsearch.search.sensitivity import NO_SENSITIVITY, SENSITIVITIES, Sensitivity, WidthSensitivity
from mpsearch.search.sensitivity_file import read_sensitivities, write_sensitivity
from mpsearch.search.space import SearchSpace
from mpsearch.search.width_tasks import Baselines
from mpsearch.training.device import trial_device
from mpsearch.training.sensitivity.probe import SAMPLES, Added, LoweredChoice, SensitivityProbe

Emit = Callable[[Event], None]


def search_proxy(
    space: SearchSpace,
    traced: TracedTask,
    baselines: Baselines,
    *,
    folder: RunFolder,
    threads: int,
    emit: Emit,
) -> Proxy | None:
    """The proxy by the method that the space names: read from the folder, or found out now and put there.

    None where it `needs_sensitivity` not, or the method fails: the search does without.

    Raises: FormatError if sensitivity.json cannot be read; StorageError if it cannot be written.
    """
    method = space.search.sensitivity
    if not needs_sensitivity(space, traced):
        return None
    found = known_sensitivity(folder, method, baselines)
    if found is None:
        try:
            found = measured_sensitivity(method, space, traced, baselines, threads=threads, emit=emit)
        except (ConfigError, TrialError) as error:
            emit(
                Notice(
                    message=f"The search begins without sensitivities: {method!r} failed. {error}",
                    is_warning=True,
                )
            )
            return None
        write_sensitivity(folder, found)
    return found.proxy(traced.resolved)


def needs_sensitivity(space: SearchSpace, traced: TracedTask) -> bool:
    """Whether the sampler listens, the space names a method, and there is something to choose."""
    listens = sampler_named(space.search.sampler).uses_knowledge
    return listens and space.search.sensitivity != NO_SENSITIVITY and bool(traced.resolved.choices)


def known_sensitivity(folder: RunFolder, method: str, baselines: Baselines) -> Sensitivity | None:
    """What the folder holds of that method, if it is of these 32-bit weights.

    Raises: FormatError if sensitivity.json cannot be read.
    """
    found = read_sensitivities(folder).get(method)
    keys = [baseline.key for baseline in baselines.values()]
    return found if found is not None and found.is_of(keys) else None


def measured_sensitivity(
    method: str,
    space: SearchSpace,
    traced: TracedTask,
    baselines: Baselines,
    *,
    threads: int,
    emit: Emit,
) -> Sensitivity:
    """Of the whole space, whatever the overrides forbid; at each width.

    Raises: TrialError or ConfigError as the method; TaskError if the task's own code fails.
    """
    emit(StageStarted(stage="sensitivity", detail=f"sensitivity of each layer: {method}"))
    started = time.perf_counter()
    widths = []
    for width, probe in sensitivity_probes(space, traced, baselines).items():
        at = "" if width is None else f" at width {width:g}"
        with torch_threads(threads):
            added = SENSITIVITIES[method].measure(probe, partial(_progress, emit, at))
        _require_finite(method, probe.choices, added)
        widths.append(
            WidthSensitivity(
                width=width,
                baseline=baselines[width].key,
                loss=baselines[width].validation_loss,
                added={
                    choice.name: dict(zip(choice.schemes, of_choice.tolist(), strict=True))
                    for choice, of_choice in zip(probe.choices, added, strict=True)
                },
            )
        )
    samples = min(SAMPLES, len(traced.task.validation))
    return Sensitivity(
        method=method, samples=samples, seconds=time.perf_counter() - started, widths=tuple(widths)
    )


def sensitivity_probes(
    space: SearchSpace, traced: TracedTask, baselines: Baselines
) -> dict[float | None, SensitivityProbe]:
    """What the method is asked, by width."""
    choices = tuple(
        LoweredChoice(name=choice.name, layers=choice.layers, schemes=choice.schemes)
        for choice in traced.resolved.choices
    )
    return {
        width: SensitivityProbe(
            task=task.to(trial_device(space.trial.device)),
            baseline=baselines[width],
            recipe=space.trial,
            choices=choices,
            pinned=traced.resolved.pinned,
            seed=space.search.seed,
        )
        for width, task in traced.tasks.items()
    }


def _require_finite(method: str, choices: Sequence[LoweredChoice], added: Added) -> None:
    for choice, of_choice in zip(choices, added, strict=True):
        if not np.isfinite(of_choice).all():
            raise TrialError(
                f"What a scheme adds to the loss must be finite; got {of_choice.tolist()} for {choice.name} "
                f"by {method!r}. Choose another sensitivity, or `none`."
            )


def _progress(emit: Emit, at: str, done: int, total: int, what: str) -> None:
    emit(StageProgress(stage="sensitivity", done=done, total=total, what=f"{what}{at}"))
