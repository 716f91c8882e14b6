"""What the methods of sensitivity say of a run's model: read, or found out now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mpsearch.errors import RunError
from mpsearch.search.events import Event
from mpsearch.search.run import Run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.sensitivity import SENSITIVITIES, Sensitivity, require_sensitivity
from mpsearch.search.sensitivity_file import read_sensitivities, write_sensitivity


def run_sensitivities(run: Run) -> dict[str, Sensitivity]:
    """Method -> what it found, of the methods that were asked and are of the run's baseline.

    Raises: FormatError if sensitivity.json cannot be read.
    """
    keys = [baseline.key for baseline in run.baselines.values()]
    found = read_sensitivities(RunFolder(run.path))
    return {method: sensitivity for method, sensitivity in found.items() if sensitivity.is_of(keys)}


def compute_sensitivities(
    run: Run, methods: Iterable[str] = tuple(SENSITIVITIES), on_event: Callable[[Event], None] | None = None
) -> dict[str, Sensitivity]:
    """All that is known of the run, with those `methods`: what is missing is found out now, and kept.

    The task is loaded, its 32-bit baseline trained unless it is in the cache.

    Raises: ConfigError if there is no such method, or one cannot be applied; TrialError if a loss is not
    finite; RunError if a search goes on in the folder, or the baseline is no longer the run's; as the task.
    """
    from mpsearch.search.preparation import baselines_of, traced_task  # noqa: PLC0415 - torch
    from mpsearch.search.processors import usable_cpus, worthwhile_threads  # noqa: PLC0415
    from mpsearch.search.sensitivity_stage import measured_sensitivity  # noqa: PLC0415

    asked = [require_sensitivity(method) for method in methods]
    missing = [method for method in asked if method in SENSITIVITIES and method not in run_sensitivities(run)]
    if not missing:
        return run_sensitivities(run)

    def emit(event: Event) -> None:
        if on_event is not None:
            on_event(event)

    folder = RunFolder(run.path)
    with folder.locked():
        traced = traced_task(run.space, run.task, emit)
        threads = min(worthwhile_threads(traced.most_macs, run.space.trial.batch_size), len(usable_cpus()))
        baselines = baselines_of(traced, threads, emit)
        if [found.key for found in baselines.values()] != [found.key for found in run.baselines.values()]:
            raise RunError(
                f"Sensitivities are those of the run's own baseline; data or recipe of task "
                f"{run.space.task.name!r} changed since {run.path} was begun. Search in another folder."
            )
        for method in missing:
            found = measured_sensitivity(method, run.space, traced, baselines, threads=threads, emit=emit)
            write_sensitivity(folder, found)
    return run_sensitivities(run)
