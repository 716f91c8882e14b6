"""The Python API: what the command line does, from objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpsearch.errors import ConfigError
from mpsearch.export.exporters import export_trial
from mpsearch.precision.scheme import SCHEMES
from mpsearch.report.notebook import run_html
from mpsearch.search.budgets import Budgets
from mpsearch.search.events import OnEvent
from mpsearch.search.further_profiles import GivenProfile
from mpsearch.search.overrides import Overrides
from mpsearch.search.quantities import parse_duration_s
from mpsearch.search.run import Run
from mpsearch.search.run import load_run as load_run_folder
from mpsearch.search.search_target import SearchTarget, search_target
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import build_space
from mpsearch.training.recipe import TrialRecipe

if TYPE_CHECKING:
    from torch import nn

    from mpsearch.training.task import Task


def search(
    model: nn.Module | Task | SearchSpace | str | Path,
    data: Sequence[Any] | None = None,
    *,
    schemes: Sequence[str] | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
    objectives: Sequence[str] | None = None,
    budgets: Budgets | Mapping[str, Any] | None = None,
    pin: Mapping[str, Any] | Sequence[str] | None = None,
    forbid: Mapping[str, Any] | Sequence[str] | None = None,
    free: Sequence[str] = (),
    trial: TrialRecipe | None = None,
    trials: int | None = None,
    timeout: str | float | None = None,
    trial_timeout: str | float | None = None,
    sampler: str | None = None,
    sensitivity: str | None = None,
    fidelities: Sequence[float] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    batch: int | None = None,
    repeats: bool | None = None,
    ray: str | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float = 0.0,
    out: str | Path | None = None,
    hw: GivenProfile | Sequence[GivenProfile] | None = None,
    threads: int = 1,
    storage: str | None = None,
    study: str | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
    **task_options: Any,
) -> Run:
    """Search for the front of a model, and return the run. A run in `out` goes on where it was.

        run = mpsearch.search(model, (train, validation, test), budgets={"memory": "60KB"})
        run = mpsearch.search("digits", trials=20)
        run = mpsearch.search("runs/digits", trials=40, pin={"fc1": "w8a8"}, forbid={"conv*": ["w1a1"]})

    model       a torch module with its `data`; or a Task; or a search space: an object, a YAML file, a name;
                or the folder of a run, to go on with it
    data        (train, validation) or (train, validation, test): pairs (inputs, targets), Datasets, Splits
    schemes     what layers may take that no rule of `layers` matches; default all
    layers      rules as in a space file, the first that matches decides: [{"match": "conv1", "pin": "w8a8"}]
    pin         layers (names or globs) and the scheme that they take from now on: {"fc1": "w8a8"}
    forbid      layers and schemes that are tried there no more: {"conv1": ["w1a1", "w1a8"]}
    free        names, as they were given, whose pins and prohibitions from before are lifted
    trial       how each policy is fine-tuned
    timeout     no trial begins after that time: "30m", or seconds
    trial_timeout  a trial that takes longer is ended, and fails: "10m", or seconds
    workers     trials at a time, each in a process of its own; 0: one, in this process
    batch       policies that a worker trains together; see docs/scaling-out.md
    repeats     whether policies whose place on the front is contested are trained with further seeds
    ray         run trials over Ray: "local", "auto" or "HOST:PORT"; see docs/scaling-out.md
    sensitivity how a sampler that asks learns which layers lose most: loss, gradient, hessian, supernet,
                sqnr or none
    fidelities  shares of a trial's steps, such as (0.1, 0.3): those that promise most go on to the next
    objectives  what the search is for, in place of the space's: accuracy or loss, latency, latency_p95,
                latency_p99, memory, energy, compressed_size, in any number; see docs/budgets.md
    out         the run folder; default `runs/NAME`, or that of the run that goes on
    hw          a hardware profile, or several, the main one first: each further one gives latency@NAME and
                energy@NAME; default: measured now on `threads` threads
    storage     a PostgreSQL database where several drivers search one `study`; see docs/storage.md
    study       its name there; default: that of the run folder
    on_event    called with each event, in place of the progress on standard error (`progress`)
    task_options  of `task_from`: pretrained, loss, metric, baseline, augment, example_inputs, name

    Raises: what `mpsearch.search.engine.run_search` raises.
    """
    # Here, not above: `import mpsearch.api` for `load_run` shall not wait for torch and optuna.
    from mpsearch.search.engine import run_search  # noqa: PLC0415
    from mpsearch.training.task import Task, task_from  # noqa: PLC0415

    task: Task | None = None
    if isinstance(model, (str, Path, SearchSpace)):
        described = {"data": data, "schemes": schemes, "trial": trial, "layers": layers}
        given = [name for name, value in {**described, **task_options}.items() if value]
        if given:
            raise ConfigError(f"A search space says `{given[0]}` itself; change it there, not in the call.")
        target = SearchTarget(space=model) if isinstance(model, SearchSpace) else search_target(model)
    else:
        if isinstance(model, Task):
            if data is not None or task_options:
                raise ConfigError(
                    "A Task holds its data and options; give `mpsearch.search` nothing but the Task."
                )
            task = model
        else:
            if data is None:
                raise ConfigError("A model needs `data`: (train, validation) or (train, validation, test).")
            task = task_from(model, data, **{"name": type(model).__name__, **task_options})
        own = _space_for(task, schemes=schemes, layers=layers, trial=trial)
        target = SearchTarget(space=own)
    folder = target.folder(out)

    def run(listener: OnEvent | None) -> Run:
        found = run_search(
            target.space,
            out=folder,
            task=task,
            profile=hw,
            trials=trials,
            timeout_s=parse_duration_s(timeout) if isinstance(timeout, str) else timeout,
            trial_timeout_s=parse_duration_s(trial_timeout)
            if isinstance(trial_timeout, str)
            else trial_timeout,
            workers=workers,
            batch=batch,
            repeats=repeats,
            ray=ray,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            budgets=budgets,
            overrides=Overrides.parse(pin, forbid),
            free=[free] if isinstance(free, str) else free,
            seed=seed,
            sampler=sampler,
            sensitivity=sensitivity,
            fidelities=fidelities,
            objectives=objectives,
            threads=threads,
            storage=storage,
            study=study,
            on_event=listener,
            exporter=export_trial,
        )
        return replace(found, viewer=run_html)

    if on_event is not None or not progress:
        return run(on_event)
    from rich.console import Console  # noqa: PLC0415

    from mpsearch.report.progress import search_view  # noqa: PLC0415

    with search_view(Console(stderr=True, highlight=False)) as view:
        return run(view)


def load_run(path: str | Path, *, task: Task | None = None) -> Run:
    """Open a run folder, finished or not. `task` is needed to export a run of a model that was in memory.

    Raises: RunError if there is no run; FormatError if a file of it is truncated, corrupt or newer.
    """
    return replace(load_run_folder(path, exporter=export_trial), task=task, viewer=run_html)


def _space_for(
    task: Task,
    *,
    schemes: Sequence[str] | None,
    layers: Sequence[Mapping[str, Any]],
    trial: TrialRecipe | None,
) -> SearchSpace:
    from mpsearch.training.task import IN_MEMORY  # noqa: PLC0415 - as in `search`

    values: dict[str, Any] = {
        "task": {"name": task.name + IN_MEMORY},
        "layers": [
            *(dict(rule) for rule in layers),
            {"match": "*", "schemes": list(SCHEMES if schemes is None else schemes)},
        ],
        "trial": asdict(trial or TrialRecipe()),
    }
    name = re.sub(r"[^\w.-]+", "-", task.name).strip("-.").lower() or "model"
    return build_space(values, name=name, source="mpsearch.search()")
