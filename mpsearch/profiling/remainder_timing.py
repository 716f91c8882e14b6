"""Seconds of everything in a model that is not a quantizable layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mpsearch.errors import ShapeError
from mpsearch.hardware.measurement import RemainderMeasurement
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace
from mpsearch.models.quantizable import call_shape
from mpsearch.profiling.timer import DEFAULT_SETTINGS, TimerSettings, time_calls
from mpsearch.profiling.torch_threads import torch_threads
from mpsearch.runtime.packed_layer import NO_WEIGHT
from mpsearch.runtime.packed_model import PackedModel, build_packed_model


class LayerStub(nn.Module):
    """Stands for a layer: the first call with a size makes an output, later ones return it again."""

    weight = NO_WEIGHT

    def __init__(self, layer: nn.Module, channels_last: Callable[[], bool]) -> None:
        super().__init__()
        self._shape_of = lambda size: call_shape(layer, size)
        self._channels_last = channels_last
        self._outputs: dict[tuple[torch.Size, bool], Tensor] = {}
        self.calls = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        self.calls += 1
        key = (input.shape, self._channels_last())
        output = self._outputs.get(key)
        if output is None:
            output = self._outputs[key] = _output_like(self._shape_of(input.shape), *key)
        return output


def time_remainder(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    trace: ModelTrace,
    *,
    threads: int,
    settings: TimerSettings = DEFAULT_SETTINGS,
) -> tuple[RemainderMeasurement, bool]:
    """Time one forward pass of the packed model with a stub for each layer; and whether it was noisy.

    A layer's measurement includes the call of its module, so the calls of the stubs are timed by
    themselves and subtracted.

    Raises: ShapeError if the model does not run when its layers return arbitrary numbers.
    """
    packed = build_packed_model(model, {}, threads=threads)
    assert isinstance(packed, PackedModel)  # without a graph
    stubs = _put_stubs(packed, trace)
    lone = LayerStub(nn.Linear(1, 1), lambda: True)
    x = torch.zeros(1, 1)
    with torch_threads(threads), torch.inference_mode():
        try:
            packed(*example_inputs)
            for stub in stubs:
                stub.calls = 0
            packed(*example_inputs)
        except Exception as error:  # any model code runs here, so any error can come out of it
            raise ShapeError(
                f"{type(model).__name__} must run with any outputs of its layers to be timed without them; "
                f"it raised {type(error).__name__}: {error}. Make its control flow independent of them."
            ) from error
        stub_calls = sum(stub.calls for stub in stubs)
        whole, one_stub = time_calls([lambda: packed(*example_inputs), lambda: lone(x)], settings)
    stubs_s = stub_calls * one_stub.median_s
    low, median, high, p95, p99 = (
        float(f"{max(seconds - stubs_s, 0.0):.4g}")
        for seconds in (whole.quartiles_s[0], whole.median_s, whole.quartiles_s[1], whole.p95_s, whole.p99_s)
    )
    measurement = RemainderMeasurement(
        model_fingerprint=trace.fingerprint,
        input_shapes=tuple(tuple(value.shape) for value in example_inputs if isinstance(value, Tensor)),
        latency_s=median,
        quartiles_s=(low, high),
        p95_s=p95,
        p99_s=p99,
        repetitions=whole.repetitions,
    )
    return measurement, whole.is_noisy


def _put_stubs(packed: PackedModel, trace: ModelTrace) -> list[LayerStub]:
    """Replace the layers wherever the model holds them, in a plain list too, as `build_packed_model` does."""
    stubs = []
    copies: dict[int, Any] = {}
    for layer in trace.layers:
        module = packed.model.get_submodule(layer.name)
        stub = LayerStub(module, lambda: packed.channels_last)
        stubs.append(stub)
        copies[id(module)] = stub
    packed.model = copy.deepcopy(packed.model, copies)
    return stubs


def _output_like(shape: LayerShape, input_size: torch.Size, channels_last: bool) -> Tensor:  # noqa: FBT001
    if shape.operator == "linear":
        return torch.randn(*input_size[:-1], shape.out_channels)
    height, width = shape.out_spatial
    if shape.operator == "conv1d":
        if channels_last:
            return torch.randn(shape.batch, width, shape.out_channels).transpose(1, 2)
        return torch.randn(shape.batch, shape.out_channels, width)
    output = torch.randn(shape.batch, shape.out_channels, height, width)
    return output.contiguous(memory_format=torch.channels_last) if channels_last else output
