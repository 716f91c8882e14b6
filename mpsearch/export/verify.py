"""Does a packed model keep its promise? Its outputs beside the trial's, its latency beside the predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mpsearch.errors import ConfigError
from mpsearch.export.agreement import agreement, outputs_of
from mpsearch.export.compressed_size import compressed_model_bytes
from mpsearch.export.packed_file import read_packed
from mpsearch.export.packed_model import float_model, model_from_packed
from mpsearch.export.task_of_model import inputs_sha256, trusted_task, validation_inputs
from mpsearch.profiling.end_to_end import time_models
from mpsearch.training.task import Task

BENCH_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """What `mpsearch bench` found.

    `eager_reasons`: the operators that kept the model in torch; none if it ran as one compiled plan.
    Latencies are of one sample: medians, quartiles and percentiles of single passes, those of the packed
    model and of torch timed in turns;
    `max_abs_error` and `agreement` compare with the trial's fake-quant outputs on `n_samples` validation
    samples; `score` is the task's metric on those samples, `expected_score` that of the trial's outputs. All
    four are None, and `n_samples` 0, where the task gives other samples here than on export: a device that
    only measures needs no data.
    """

    schema: int
    model: str
    eager_reasons: tuple[str, ...]
    predicted_latency_s: float
    predicted_p95_s: float
    predicted_p99_s: float
    measured_latency_s: float
    quartiles_s: tuple[float, float]
    measured_p95_s: float
    measured_p99_s: float
    torch_fp32_latency_s: float
    torch_fp32_quartiles_s: tuple[float, float]
    max_abs_error: float | None
    agreement: float | None
    n_samples: int
    metric: str
    score: float | None
    expected_score: float | None
    threads: int
    predicted_threads: int
    profile: str
    repetitions: int
    memory_bytes: int
    file_bytes: int
    compressed_bytes: int
    run: str
    trial: int

    @property
    def prediction_error(self) -> float:
        """(measured - predicted) / predicted."""
        return self.measured_latency_s / self.predicted_latency_s - 1

    @property
    def is_compiled(self) -> bool:
        return not self.eager_reasons

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "compiled": self.is_compiled,
            "eager_reasons": list(self.eager_reasons),
            "quartiles_s": list(self.quartiles_s),
            "prediction_error": self.prediction_error,
        }


def verify_packed(
    folder: Path,
    *,
    threads: int | None = None,
    named_task: str | None = None,
    on_step: Callable[[str], None] | None = None,
) -> BenchReport:
    """Load, run, compare and time a packed model; `threads` by default as predicted.

    Raises: FormatError if the files are damaged; ExportError if the task must be named or builds another
    model.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"`threads` must be 1 or more; got {threads}.")
    say = on_step or (lambda _: None)
    say("reading the packed model")
    packed = read_packed(folder)
    manifest = packed.manifest
    used_threads = threads or manifest.predicted.threads
    say("loading the task")
    task = trusted_task(manifest, folder, named_task)
    loaded = model_from_packed(packed, task, threads=used_threads)
    inputs = validation_inputs(task, manifest.check.samples)
    compared = score = expected_score = None
    if inputs_sha256(inputs) == manifest.check.inputs_sha256:
        say(f"comparing outputs on {len(inputs)} samples")
        outputs = outputs_of(loaded.model, inputs)
        compared = agreement(outputs, packed.check_outputs)
        score, expected_score = _score(task, outputs), _score(task, packed.check_outputs)
    say("timing")
    measured, reference = time_models([loaded.model, float_model(task)], task.example_inputs, used_threads)
    return BenchReport(
        schema=BENCH_SCHEMA,
        model=str(folder),
        eager_reasons=loaded.eager_reasons,
        predicted_latency_s=manifest.predicted.latency_s,
        predicted_p95_s=manifest.predicted.latency_p95_s,
        predicted_p99_s=manifest.predicted.latency_p99_s,
        measured_latency_s=measured.median_s,
        quartiles_s=measured.quartiles_s,
        measured_p95_s=measured.p95_s,
        measured_p99_s=measured.p99_s,
        torch_fp32_latency_s=reference.median_s,
        torch_fp32_quartiles_s=reference.quartiles_s,
        max_abs_error=None if compared is None else compared.max_abs_error,
        agreement=None if compared is None else compared.share,
        n_samples=0 if compared is None else compared.samples,
        metric=manifest.metric,
        score=score,
        expected_score=expected_score,
        threads=used_threads,
        predicted_threads=manifest.predicted.threads,
        profile=manifest.predicted.profile,
        repetitions=measured.repetitions,
        memory_bytes=manifest.predicted.memory_bytes,
        file_bytes=manifest.weights_bytes,
        compressed_bytes=compressed_model_bytes(packed),
        run=manifest.run,
        trial=manifest.trial,
    )


def _score(task: Task, outputs: Tensor) -> float:
    return float(task.metric(outputs, task.validation.take(len(outputs)).targets).float().mean())
