"""From a trial to a packed file, and from a packed file to a model that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mpsearch.errors import ExportError
from mpsearch.export.agreement import agreement, outputs_of
from mpsearch.export.manifest import Check, Manifest, Prediction
from mpsearch.export.packed_file import PackedFile, geometry_of
from mpsearch.export.task_of_model import inputs_sha256, validation_inputs
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.layer_lookup import find_layers
from mpsearch.models.trace import trace_model
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.quant.freeze import freeze_layer
from mpsearch.runtime.compiled_model import CompiledModel
from mpsearch.runtime.packed_model import PackedModel, build_packed_model
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord
from mpsearch.training.layout import prepare_model
from mpsearch.training.task import Task
from mpsearch.training.trial import restore_trial_model

CHECK_SAMPLES = 256


def packed_from_trial(
    run: Run, record: TrialRecord, task: Task, weights: Mapping[str, Tensor], *, threads: int = 1
) -> PackedFile:
    """Freeze a trial's model, and compare what it returns with the trial's own.

    Raises: TaskError if the weights do not fit; ExportError if the outputs are not finite.
    """
    trial_model = restore_trial_model(task, record.policy, weights, run.space.trial)
    layers = _frozen_layers(trial_model, record.policy)
    floats, tied = _other_tensors(task.new_model(), trial_model, list(layers))
    model = _with_floats(task, layers, floats, tied)
    inputs = validation_inputs(task, CHECK_SAMPLES)
    expected = outputs_of(trial_model, inputs)
    graph = trace_model(model, task.example_inputs).graph
    packed = build_packed_model(model, layers, threads=threads, graph=graph)
    compared = agreement(outputs_of(packed, inputs), expected)
    if not bool(expected.isfinite().all()) or not compared.max_abs_error < float("inf"):
        raise ExportError(
            f"The outputs of trial {record.number} must be finite to be exported; got NaN or infinity. "
            "Pick another trial."
        )
    manifest = Manifest(
        task=run.space.task.name,
        task_args=run.space.task_at(record.policy.width).args,
        model_fingerprint=run.model_at(record.policy.width).fingerprint,
        policy=record.policy.at_width(None),  # the task's arguments say it
        layers={name: geometry_of(layer) for name, layer in layers.items()},
        tied=tied,
        predicted=Prediction(
            latency_s=record.latency_s,
            latency_p95_s=record.latency_p95_s,
            latency_p99_s=record.latency_p99_s,
            memory_bytes=round(record.memory_bytes),
            energy_j=record.energy_j,
            profile=run.profile.name,
            threads=run.profile.threads,
        ),
        metric=task.metric_name,
        validation_score=record.accuracy,
        run=run.name,
        trial=record.number,
        check=Check(
            samples=compared.samples,
            inputs_sha256=inputs_sha256(inputs),
            max_abs_error=compared.max_abs_error,
            agreement=compared.share,
        ),
    )
    return PackedFile(manifest=manifest, layers=layers, floats=floats, check_outputs=expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A packed model, ready to run: one compiled plan if there are no `eager_reasons`.

    These are the operators that keep it in torch, with packed layers inside.
    """

    model: CompiledModel | PackedModel
    eager_reasons: tuple[str, ...]


def model_from_packed(packed: PackedFile, task: Task, *, threads: int = 1) -> LoadedModel:
    """The packed model; the task brings the architecture and the size of its inputs.

    Raises: ExportError if the task builds another architecture than the one that was packed.
    """
    model = _with_floats(task, packed.layers, packed.floats, packed.manifest.tied)
    trace = trace_model(model, task.example_inputs)
    return LoadedModel(
        model=build_packed_model(model, packed.layers, threads=threads, graph=trace.graph),
        eager_reasons=trace.eager_reasons,
    )


def float_model(task: Task) -> nn.Module:
    """The same architecture in 32-bit PyTorch, for its speed: its weights are not trained."""
    return prepare_model(task.new_model()).eval()


def _frozen_layers(trial_model: nn.Module, policy: PrecisionPolicy) -> dict[str, QuantizedLayer]:
    modules = dict(trial_model.named_modules(remove_duplicate=False))
    return {
        name: freeze_layer(modules[name]) for name, scheme in policy.items() if not scheme.is_full_precision
    }


def _own_names(model: nn.Module, layers: list[str]) -> set[str]:
    """State dict names of the weights and biases of `layers`, under every name that the model has."""
    replaced = {id(module) for module in find_layers(model, layers).values()}
    return {
        f"{name}.{part}"
        for name, module in model.named_modules(remove_duplicate=False)
        if id(module) in replaced
        for part in ("weight", "bias")
    }


def _other_tensors(
    model: nn.Module, trial_model: nn.Module, layers: list[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """What the packed layers do not hold, each shared tensor once; further names of the shared ones."""
    own = _own_names(model, layers)
    trained = trial_model.state_dict()
    floats: dict[str, Tensor] = {}
    tied: list[str] = []
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    for name in model.state_dict():
        if name in own:
            continue
        tensor = trained[name]
        place = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if place in seen and tensor.numel():
            tied.append(name)
        else:
            seen.add(place)
            floats[name] = tensor
    return floats, tuple(tied)


def _with_floats(
    task: Task, layers: Mapping[str, QuantizedLayer], floats: Mapping[str, Tensor], tied: tuple[str, ...]
) -> nn.Module:
    """The task's model with `floats` loaded; the weights of `layers` stay as they were drawn."""
    model = prepare_model(task.new_model())
    expected = model.state_dict()
    known = set(dict(model.named_modules(remove_duplicate=False)))
    unknown = sorted(set(layers) - known)
    if not unknown:
        unknown = sorted(set(floats) ^ (set(expected) - _own_names(model, list(layers)) - set(tied)))
    if unknown:
        raise ExportError(
            f"Task {task.name!r} must build the model that was packed; the two differ in {unknown[0]!r}. "
            "Use the same version of the task's code."
        )
    for name, tensor in floats.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ExportError(
                f"`{name}` of the packed model must be {expected[name].dtype} "
                f"{tuple(expected[name].shape)} as task {task.name!r} builds it; got "
                f"{tensor.dtype} {tuple(tensor.shape)}."
            )
    with torch.no_grad():
        model.load_state_dict(dict(floats), strict=False)
    return model
