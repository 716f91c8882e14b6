"""Every export format: a name and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpsearch.errors import ExportError
from mpsearch.export.policy_file import PolicyFile
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.task_name import relative_to


def export_trial(run: Run, record: TrialRecord, out: Path, *, format: str = "packed", **options: Any) -> Path:  # noqa: A002
    """Write one trial; returns what was written, a file or a folder.

    Raises: ExportError if the format is unknown or the trial has no score or cannot be exported; RunError if
    its weights were not kept; StorageError if `out` cannot be written.
    """
    if format not in EXPORTERS:
        raise ExportError(f"A format must be one of {', '.join(EXPORTERS)}; got {format!r}.")
    if not record.is_complete:
        raise ExportError(
            f"Only a scored trial can be exported; trial {record.number} {record.end.rstrip('.')}. "
            "`mpsearch pareto` lists the others."
        )
    return EXPORTERS[format](run, record, out, **options)


def export_policy(run: Run, record: TrialRecord, out: Path) -> Path:
    """Write policy.json; into the folder `out`, or to `out` itself if it ends in .json."""
    path = out if out.suffix == ".json" else out / "policy.json"
    PolicyFile(
        policy=record.policy,
        model_fingerprint=run.model_at(record.policy.width).fingerprint,
        task=relative_to(path.parent, run.space.task.name),
        metric=run.metric,
        validation_score=record.accuracy,
        latency_s=record.latency_s,
        latency_p95_s=record.latency_p95_s,
        latency_p99_s=record.latency_p99_s,
        memory_bytes=round(record.memory_bytes),
        energy_j=record.energy_j,
        profile=run.profile.name,
        threads=run.profile.threads,
        run=run.name,
        trial=record.number,
    ).save(path)
    return path


def export_packed(run: Run, record: TrialRecord, out: Path) -> Path:
    """Write the folder `out` with weights.bin, manifest.json and a check."""
    from mpsearch.export.packed_file import write_packed  # noqa: PLC0415 - torch is slow to import
    from mpsearch.export.packed_model import packed_from_trial  # noqa: PLC0415
    from mpsearch.search.width_tasks import task_at_width  # noqa: PLC0415
    from mpsearch.training.weights_file import read_weights  # noqa: PLC0415

    weights, _ = read_weights(run.checkpoint(record.number))
    task = run.task or task_at_width(run.space, record.policy.width)
    write_packed(out, packed_from_trial(run, record, task, weights, threads=run.profile.threads))
    return out


EXPORTERS: dict[str, Callable[..., Path]] = {"policy": export_policy, "packed": export_packed}
