"""The whole engine on a table: fidelities, promotion and repeats as `mpsearch search` has them.

Only the training is looked up: what a policy scores after a share of the steps, and the seconds that it took.
The layers, what they cost on this machine and the sensitivities are those of the real model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from search_policy_table import SHARES, PolicyTable
from search_workloads import WORKLOADS, Workload

from mpsearch.cost.cost_model import CostModel
from mpsearch.errors import ConfigError, DataError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.models.trace import ModelTrace, trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import Scheme, scheme_named
from mpsearch.profiling.profile_machine import profile_machine
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.search.engine import run_search
from mpsearch.search.events import Event, RungFinished, TrialFinished
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.sensitivity import Sensitivity
from mpsearch.search.sensitivity_file import read_sensitivities, write_sensitivity
from mpsearch.search.sensitivity_stage import measured_sensitivity
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import build_space
from mpsearch.search.trial_job import OnStep, Outcome, TrialJob
from mpsearch.training.layout import prepare_model
from mpsearch.training.task import Task

Floats = NDArray[np.float64]

COLUMNS = ("latency_s", "memory_bytes", "energy_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTrials:
    """Complete trials in the order in which they ended: row of the table, and all seconds until then."""

    rows: tuple[int, ...]
    spent_s: tuple[float, ...]
    proxy_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TableWork:
    """Trials that are looked up: `shown` is what first trainings score, further ones those of other seeds."""

    table: PolicyTable
    row_of: Callable[[PrecisionPolicy], int]
    shown: Floats
    threads: int = 1
    _seeds: dict[int, list[int]] = field(default_factory=dict)

    def load(self) -> TableWork:
        return self

    def run(self, job: TrialJob, on_step: OnStep | None = None) -> Outcome:  # noqa: ARG002
        """As `LoadedWork.run`; the weights are an empty file."""
        job.weights.write_bytes(b"")
        row = self.row_of(job.policy)
        score, seconds = self._found(row, job)
        return Outcome(number=job.number, score=score, loss=1 - score, seconds=seconds, steps=1)

    def run_together(self, jobs: Sequence[TrialJob], on_report: object = None) -> Iterable[Outcome]:  # noqa: ARG002
        """As `LoadedWork.run_together`."""
        return [self.run(job) for job in jobs]

    def _found(self, row: int, job: TrialJob) -> tuple[float, float]:
        for fidelity, share in SHARES.items():
            if share == job.share:
                return float(self.table.lower[fidelity][row]), float(self.table.lower_seconds[fidelity][row])
        seeds = self._seeds.setdefault(row, [])
        if job.seed not in seeds:
            seeds.append(job.seed)
        known = self.table.scores_from(row, self.shown[row])
        score = known[seeds.index(job.seed) % len(known)]
        assert self.table.seconds is not None
        return float(score), float(np.nanmean(self.table.seconds[row]))


def engine_trials(
    table: PolicyTable,
    profile: HardwareProfile,
    *,
    shown: Floats,
    sampler: str,
    seed: int,
    trials: int,
    objectives: tuple[str, ...],
    fidelities: tuple[float, ...],
    repeats: bool,
    sensitivity: Path,
) -> EngineTrials:
    """Search the table's space; the sensitivities are kept in a folder for the next one.

    Raises: DataError if the table lacks scores or seconds at a fidelity.
    """
    known = [share for name, share in SHARES.items() if name in table.lower_seconds]
    missing = [share for share in fidelities if share < 1 and share not in known]
    if missing or table.seconds is None:
        raise DataError(
            f"Replaying fidelities needs scores and seconds at each of them; table {table.name!r} has none "
            f"at share {missing[0] if missing else 1:g}. `--make {table.name}` adds them."
        )
    workload = _workload(table.name)
    rows: list[int] = []
    spent: list[float] = []
    seconds = 0.0

    def on_event(event: Event) -> None:
        nonlocal seconds
        if isinstance(event, RungFinished):
            seconds += event.rung.seconds
        elif isinstance(event, TrialFinished):
            seconds += event.record.seconds - sum(rung.seconds for rung in event.record.rungs)
            if event.record.is_complete:
                rows.append(row_of(event.record.policy))
                spent.append(round(seconds, 4))

    def row_of(policy: PrecisionPolicy) -> int:
        return int(table.rows(np.array([_codes(workload, table, policy)]))[0])

    work = TableWork(table=table, row_of=row_of, shown=shown)
    with tempfile.TemporaryDirectory(prefix="mpsearch-replay-") as out, _looked_up(work, sensitivity):
        run_search(
            space_of(table.name, workload, objectives),
            out=out,
            task=_task(table.name),
            profile=profile,
            trials=trials,
            sampler=sampler,
            seed=seed,
            workers=0,
            fidelities=fidelities,
            repeats=repeats,
            on_event=on_event,
        )
        proxy_s = sum(found.seconds for found in read_sensitivities(RunFolder(Path(out))).values())
    return EngineTrials(rows=tuple(rows), spent_s=tuple(spent), proxy_s=proxy_s)


def machine_profile(name: str, path: Path) -> HardwareProfile:
    """Of this machine for the layers of a workload: measured once, on one thread."""
    if path.exists():
        return HardwareProfile.load(path)
    workload, task = _workload(name), _task(name)
    profiled = ProfiledModel(
        model=prepare_model(task.new_model()),
        example_inputs=tuple(task.example_inputs),
        trace=_trace(name),
        schemes=_schemes(workload),
        label=name,
    )
    profile = profile_machine(name=name, threads=1, models=[profiled])
    path.parent.mkdir(parents=True, exist_ok=True)
    profile.save(path)
    return profile


def machine_costs(table: PolicyTable, profile: HardwareProfile) -> Floats:
    """Of all policies, as the engine has them: sums that are not of layers alone. Shape: (P, 3)."""
    workload = _workload(table.name)
    model = CostModel.build(_trace(table.name), schemes_per_layer=_schemes(workload), profile=profile)
    found = np.empty((len(table.codes), len(COLUMNS)))
    for row, codes in enumerate(table.codes.tolist()):
        names = {
            choice: offered[code]
            for choice, offered, code in zip(table.choices, table.schemes, codes, strict=True)
        }
        costs = model.evaluate(workload.policy(names))
        found[row] = [getattr(costs, column) for column in COLUMNS]
    return found


def space_of(name: str, workload: Workload, objectives: tuple[str, ...]) -> SearchSpace:
    """What `mpsearch search` would be given to search a table's policies."""
    rules = [
        {"match": layer, "schemes": list(offered), **({"group": choice} if len(layers) > 1 else {})}
        for choice, (layers, offered) in workload.choices.items()
        for layer in layers
    ]
    rules += [{"match": layer, "schemes": [scheme]} for layer, scheme in workload.pinned.items()]
    space = build_space(
        {
            "schema": 1,
            "name": name,
            "task": {"name": f"{Path(__file__).with_name('search_workloads.py')}:{name}"},
            "layers": rules,
            "objectives": list(objectives),
        }
    )
    return replace(space, trial=workload.recipe)


def _codes(workload: Workload, table: PolicyTable, policy: PrecisionPolicy) -> list[int]:
    return [
        offered.index(policy[workload.choices[choice][0][0]].name)
        for choice, offered in zip(table.choices, table.schemes, strict=True)
    ]


def _workload(name: str) -> Workload:
    if name not in WORKLOADS:
        raise ConfigError(
            f"Fidelities are replayed with a table's model, which is known of {', '.join(WORKLOADS)}; got "
            f"{name!r}."
        )
    return WORKLOADS[name]


def _schemes(workload: Workload) -> dict[str, tuple[Scheme, ...]]:
    found = {layer: (scheme_named(pinned),) for layer, pinned in workload.pinned.items()}
    for layers, offered in workload.choices.values():
        found |= dict.fromkeys(layers, tuple(map(scheme_named, offered)))
    return found


@lru_cache(maxsize=1)
def _task(name: str) -> Task:
    return replace(_workload(name).task(), test=None)


@lru_cache(maxsize=1)
def _trace(name: str) -> ModelTrace:
    task = _task(name)
    return trace_model(prepare_model(task.new_model()), task.example_inputs)


@contextmanager
def _looked_up(work: TableWork, kept: Path) -> Iterator[None]:
    """Searches run `work`, and find out once for all of them how much each layer loses."""
    folder = RunFolder(kept)

    def measured(method: str, *args: Any, **named: Any) -> Sensitivity:
        found = read_sensitivities(folder).get(method)
        if found is None:
            found = measured_sensitivity(method, *args, **named)
            kept.mkdir(parents=True, exist_ok=True)
            write_sensitivity(folder, found)
        return found

    with (
        mock.patch("mpsearch.search.engine._Search._work", return_value=work),
        mock.patch("mpsearch.search.sensitivity_stage.measured_sensitivity", measured),
    ):
        yield
