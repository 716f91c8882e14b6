"""How long the trials of a run take, each as the packed model that an export would write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from mpsearch.errors import ConfigError, ExportError
from mpsearch.export.packed_model import float_model, model_from_packed, packed_from_trial
from mpsearch.hardware.fingerprint import probe_machine
from mpsearch.models.trace import trace_model
from mpsearch.profiling.end_to_end import time_models
from mpsearch.profiling.random_layer import random_quantized_layer
from mpsearch.runtime.packed_model import build_packed_model
from mpsearch.search.measured import MeasuredLatency
from mpsearch.search.run import Run
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.trial_record import TrialRecord, now_utc
from mpsearch.search.width_tasks import task_at_width
from mpsearch.training.task import Task
from mpsearch.training.weights_file import read_weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ready:
    """`agreement`: as in `MeasuredLatency`."""

    model: nn.Module
    is_compiled: bool
    agreement: float | None


def measure_trials(
    run: Run,
    records: Sequence[TrialRecord],
    *,
    threads: int | None = None,
    on_step: Callable[[TrialRecord, str], None] | None = None,
) -> Iterator[MeasuredLatency]:
    """Time one trial after the other, in turns with the model in 32-bit PyTorch; `threads` as predicted.

    A trial whose weights are there is frozen and packed as for an export, and its outputs are compared. One
    without is timed with random weights: that matters only where whole blocks of trained weights are zero,
    which the kernels leave out.

    Raises: ConfigError if `threads` is below 1; ExportError if a trial has no score, or its model cannot be
    packed or is not the run's; what `load_task` raises.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"`threads` must be 1 or more; got {threads}.")
    for record in records:
        if not record.is_complete:
            raise ExportError(
                f"Only a scored trial can be timed; trial {record.number} {record.end.rstrip('.')}."
            )
    return _measured(run, records, threads or run.profile.threads, on_step or (lambda _record, _step: None))


def _measured(
    run: Run, records: Sequence[TrialRecord], threads: int, say: Callable[[TrialRecord, str], None]
) -> Iterator[MeasuredLatency]:
    machine = probe_machine()
    tasks: dict[float | None, tuple[Task, nn.Module]] = {}
    for record in records:
        width = record.policy.width
        if width not in tasks:
            loaded = run.task or task_at_width(run.space, width)
            tasks[width] = loaded, float_model(loaded)
        task, reference = tasks[width]
        say(record, "packing")
        ready = _packed(run, record, task, threads)
        say(record, "timing")
        timed, beside = time_models([ready.model, reference], task.example_inputs, threads)
        yield MeasuredLatency(
            number=record.number,
            latency_s=timed.median_s,
            quartiles_s=timed.quartiles_s,
            p95_s=timed.p95_s,
            p99_s=timed.p99_s,
            torch_fp32_latency_s=beside.median_s,
            torch_fp32_quartiles_s=beside.quartiles_s,
            repetitions=timed.repetitions,
            threads=threads,
            machine=machine.cpu_model,
            isa=machine.kernels[0],
            is_compiled=ready.is_compiled,
            agreement=ready.agreement,
            created=now_utc(),
        )


def _packed(run: Run, record: TrialRecord, task: Task, threads: int) -> _Ready:
    path = RunFolder(run.path).checkpoint(record.number)
    if path.exists():
        packed = packed_from_trial(run, record, task, read_weights(path)[0], threads=threads)
        loaded = model_from_packed(packed, task, threads=threads)
        return _Ready(
            model=loaded.model,
            is_compiled=not loaded.eager_reasons,
            agreement=packed.manifest.check.agreement,
        )
    model = float_model(task)
    trace = trace_model(model, task.example_inputs).with_extras(run.space.trial.quantizers.extras)
    if trace.fingerprint != run.model_at(record.policy.width).fingerprint:
        raise ExportError(
            f"Task {task.name!r} must build the model that was searched; it has other layers now. Use the "
            "same version of the task's code."
        )
    layers = {
        layer.name: random_quantized_layer(layer.calls[0], record.policy[layer.name])
        for layer in trace.layers
        if not record.policy[layer.name].is_full_precision
    }
    built = build_packed_model(model, layers, threads=threads, graph=trace.graph)
    return _Ready(model=built, is_compiled=not trace.eager_reasons, agreement=None)
