"""From a model and an example input to the shapes of its layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from mpsearch.errors import TraceError, UnsupportedOperatorError
from mpsearch.models.capture import capture_graph
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer, UnquantizedModule
from mpsearch.models.quantizable import (
    NOT_CALLED,
    call_refusal,
    call_shape,
    hook_refusal,
    is_candidate,
    reason_not_candidate,
    refusal,
)

__all__ = ["ModelTrace", "TracedLayer", "UnquantizedModule", "evaluating", "trace_model"]


@dataclass(slots=True)
class _Seen:
    """What the hooks saw of one candidate module."""

    calls: list[LayerShape] = field(default_factory=list)
    reason: str | None = None


def trace_model(model: nn.Module, example_inputs: tuple[Tensor, ...]) -> ModelTrace:
    """Run the model once, in eval mode without gradients, and note every layer call.

    Hooks see what is called, so control flow does not matter; the graph of a compiled plan comes with
    it where there is one. The model is left as it was found.

    Raises: TraceError if the model does not run on its example inputs, or holds a lazy module that does not.
    """
    if not isinstance(example_inputs, tuple):
        raise TraceError(
            f"Example inputs must be a tuple of the model's positional arguments; "
            f"got {type(example_inputs).__name__}. Write `(x,)` for one tensor."
        )
    seen: dict[int, _Seen] = {}
    with _hooked(model, seen), evaluating(model), _without_fast_path(), torch.no_grad():
        try:
            with torch.random.fork_rng(devices=()):
                model(*example_inputs)
        except Exception as error:  # any model code runs here, so any error can come out of it
            described = ", ".join(_describe(value) for value in example_inputs)
            raise TraceError(
                f"{type(model).__name__} must run on its example inputs ({described}); it raised "
                f"{type(error).__name__}: {error}. Give the inputs that the model expects."
            ) from error
    _refuse_idle_lazy_modules(model)
    trace = _collect(model, seen)
    try:
        return replace(trace, graph=capture_graph(model, example_inputs, trace))
    except UnsupportedOperatorError as error:
        return replace(trace, eager_reasons=error.reasons)


def _refuse_idle_lazy_modules(model: nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise TraceError(
                f"Lazy modules must run on the example inputs, since they have no sizes before; {name} of "
                f"{type(model).__name__} has none. Remove the module, or give it its sizes."
            )


def _collect(model: nn.Module, seen: dict[int, _Seen]) -> ModelTrace:
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
    tied = _tied_reasons(names, modules)
    reasons: dict[int, str] = {}
    for key, module in modules.items():
        if is_candidate(module):
            entry = seen.get(key)
            not_called = NOT_CALLED if entry is None else entry.reason
            lone = None if names[key][0] else "the model is this one layer; wrap it in nn.Sequential"
            reason = lone or refusal(module) or hook_refusal(module) or tied.get(key) or not_called
            if reason is not None:
                reasons[key] = reason
    attention_parts = {
        id(part): _display(names[key][0])
        for key, module in modules.items()
        if isinstance(module, nn.MultiheadAttention)
        for part in module.children()
    }
    for key, owner in attention_parts.items():
        if key in reasons:
            reasons[key] = f"part of {owner}: nn.MultiheadAttention uses its weight without calling it"

    order = [key for key in seen if key in modules and is_candidate(modules[key]) and key not in reasons]
    layers = tuple(_traced(modules[key], names[key], seen[key]) for key in order)
    inside = {id(p) for key in order for p in modules[key]._parameters.values() if p is not None}

    counted: set[int] = set(inside)
    unquantized = []
    for key, module in modules.items():
        own = _own_bytes(module, counted)
        if key in reasons:
            reason = reasons[key]
        elif key not in order and (own or _holds_tensors(module)):
            reason = reason_not_candidate(module)
        else:
            continue
        unquantized.append(
            UnquantizedModule(
                name=_display(names[key][0]),
                type_name=type(module).__name__,
                reason=reason,
                parameter_bytes=own,
            )
        )
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return ModelTrace(
        layers=layers,
        unquantized=tuple(unquantized),
        other_parameter_bytes=sum(_bytes(t) for key, t in tensors.items() if key not in inside),
        peak_activation_bytes=max(
            (4 * (call.input_count + call.output_count) for layer in layers for call in layer.calls),
            default=0,
        ),
        fingerprint=_fingerprint(model, layers),
    )


def _tied_reasons(names: dict[int, list[str]], modules: dict[int, nn.Module]) -> dict[int, str]:
    """Modules that hold a parameter which another module holds too, with that reason."""
    owners: dict[int, list[int]] = {}
    for key, module in modules.items():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(key)
    reasons = {}
    for keys in owners.values():
        for key in keys:
            others = ", ".join(_display(names[other][0]) for other in keys if other != key)
            if others:
                reasons[key] = f"its parameters are tied to those of {others} and must stay equal to them"
    return reasons


def _traced(module: nn.Module, names: list[str], seen: _Seen) -> TracedLayer:
    weight = module._parameters["weight"]
    assert weight is not None
    return TracedLayer(
        name=names[0],
        calls=tuple(seen.calls),
        weight_count=weight.numel(),
        has_bias=module._parameters.get("bias") is not None,
        aliases=tuple(names[1:]),
    )


@contextmanager
def _hooked(model: nn.Module, seen: dict[int, _Seen]) -> Iterator[None]:
    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _output: Any) -> None:
        x = args[0] if args else kwargs.get("input")
        entry = seen.setdefault(id(module), _Seen())
        reason = refusal(module) or call_refusal(module, x)
        if reason is not None:
            entry.reason = entry.reason or reason
        else:
            assert isinstance(x, Tensor)
            entry.calls.append(call_shape(module, x.shape))

    handles = [
        module.register_forward_hook(note, with_kwargs=True)
        for module in model.modules()
        if is_candidate(module) and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """PyTorch's fused transformer layers would skip the modules that are to be seen."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _fingerprint(model: nn.Module, layers: tuple[TracedLayer, ...]) -> str:
    structure = {
        "layers": [[layer.name, [call.to_dict() for call in layer.calls]] for layer in layers],
        "parameters": [[name, list(p.shape)] for name, p in model.named_parameters()],
        "buffers": [[name, list(b.shape)] for name, b in model.named_buffers()],
    }
    return hashlib.sha256(json.dumps(structure, sort_keys=True).encode()).hexdigest()[:16]


def _own_bytes(module: nn.Module, counted: set[int]) -> int:
    """Bytes of the module's own tensors that no earlier module was charged for."""
    total = 0
    for tensor in (*module._parameters.values(), *module._buffers.values()):
        if tensor is not None and id(tensor) not in counted:
            counted.add(id(tensor))
            total += _bytes(tensor)
    return total


def _holds_tensors(module: nn.Module) -> bool:
    return any(t is not None for t in (*module._parameters.values(), *module._buffers.values()))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _display(name: str) -> str:
    return name or "(the model itself)"


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
