"""A packed model that runs as one compiled plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpsearch.errors import ConfigError, ExportError, ShapeError
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.graph import ModelGraph, Size
from mpsearch.models.layer_lookup import find_layers
from mpsearch.plan.compile import Step, compile_plan
from mpsearch.plan.fusion import fuse
from mpsearch.plan.step import StepShape
from mpsearch.precision.scheme import SCHEMES
from mpsearch.runtime.plan_binding import bind_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """Steps first..last-1 in one native call, then the torch layer of step `last`, if any."""

    first: int
    last: int
    float_call: Callable[[], object] | None = None


class CompiledModel(nn.Module):
    """Runs a model's graph in the native kernels; only its 32-bit layers are torch calls, between them.

    Buffers are planned for the batch size of the last call, and kept. Calls from several threads take turns.

    Shape: as the model that the graph describes, for any batch; float32 on the CPU, not empty. Images may be
        channels_last, and come out so.
    Raises: ConfigError if the model lacks a layer or module of the graph; on a call, ShapeError if the input
        has another type, device, rank or size, and ExportError if it asks for gradients.
    """

    def __init__(
        self, model: nn.Module, layers: Mapping[str, QuantizedLayer], graph: ModelGraph, *, threads: int = 1
    ) -> None:
        super().__init__()
        packed = _by_graph_name(model, layers, graph)
        graph = graph.with_extras({name: layer.extras for name, layer in packed.items()})
        self._fused = fuse(graph)
        self._schemes = {
            node.layer: packed[node.layer].scheme if node.layer in packed else SCHEMES["w32a32"]
            for node in graph.nodes
            if node.kind == "layer"
        }
        self.threads = threads
        self.steps: tuple[Step, ...] = compile_plan(self._fused, self._schemes, batch=1)
        self._plan = bind_plan(graph, self._fused, self.steps, model, packed, threads=threads)
        self._program = self._plan.program
        self._input_sizes = _outer_sizes(self._plan.input_size, graph.input_rank)
        self._input_size = self._plan.input_size
        self._output_sizes = _outer_sizes(self._fused.group(self._fused.output).size, graph.output_rank)
        self._batch = 0
        self._loaded = np.empty((0, 0, 0, 0), np.float32)
        self._segments: tuple[_Segment, ...] = ()
        self._lock = threading.Lock()
        self.eval()

    def train(self, mode: bool = True) -> CompiledModel:  # noqa: FBT001 - nn.Module's signature
        """Raises: ConfigError if training is asked for."""
        if mode:
            raise ConfigError("A packed model cannot be trained; train the fake-quantized model instead.")
        super().train(mode=False)
        return self

    @property
    def isa(self) -> str:
        """The implementation that its kernels use."""
        return self._program.isa

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed weights as the kernels read them."""
        return self._program.packed_bytes

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as nn.Module's own layers name it
        x: NDArray[np.float32] | None = self._as_array(input)
        assert x is not None
        y, out = self._new_output(len(x))
        run = self._program.run
        with self._lock:
            self._prepare(len(x))
            first = 0
            if not x.flags.c_contiguous:
                # In place of step 0, which takes the order (N, C, H, W) only.
                np.copyto(self._loaded, x.transpose(0, 2, 3, 1))
                x, first = None, 1
            if len(self._segments) == 1:
                run(first, len(self.steps), x, out)
                return y
            with torch.inference_mode():
                for segment in self._segments:
                    run(max(segment.first, first), segment.last, x, out)
                    if segment.float_call is not None:
                        segment.float_call()
        return y

    def time_steps(self, x: Tensor, *, repetitions: int) -> list[tuple[StepShape, NDArray[np.float64]]]:
        """Seconds of each step in that many passes, one after the other: each shape with its (repetitions,).

        The time of a 32-bit layer includes the way out of the native code and back.

        Raises: as a call; ConfigError if `repetitions` is below 1.
        """
        if repetitions < 1:
            raise ConfigError(f"`repetitions` must be 1 or more; got {repetitions}.")
        array = np.ascontiguousarray(self._as_array(x))
        _, out = self._new_output(len(array))
        seconds = np.zeros((repetitions, len(self.steps)))
        with self._lock, torch.inference_mode():
            self._prepare(len(array))
            for row in seconds:
                self._timed_pass(row, array, out)
        steps = compile_plan(self._fused, self._schemes, batch=len(array))
        return [(step.shape, np.ascontiguousarray(seconds[:, i])) for i, step in enumerate(steps)]

    def extra_repr(self) -> str:
        return f"{len(self.steps)} steps, isa={self.isa}, threads={self.threads}"

    def _timed_pass(self, row: NDArray[np.float64], x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        layer: int | None = None  # the 32-bit layer before the segment
        for segment in self._segments:
            within = row[segment.first : segment.last]
            start = time.perf_counter()
            self._program.run_timed(segment.first, segment.last, within, x, out)
            middle = time.perf_counter()
            if layer is not None:
                row[layer] += max(0.0, middle - start - float(within.sum()))
            if segment.float_call is not None:
                layer = segment.last
                segment.float_call()
                row[layer] = time.perf_counter() - middle

    def _as_array(self, x: Tensor) -> NDArray[np.float32]:
        """(N, C, H, W), in any layout."""
        if (
            not isinstance(x, Tensor)
            or x.layout != torch.strided
            or x.is_nested
            or x.dtype != torch.float32
            or x.shape[1:] != self._input_sizes
            or not x.is_cpu
            or len(x) == 0
        ):
            raise self._refused(x)
        if x.requires_grad:
            if torch.is_grad_enabled():
                raise ExportError(
                    "A packed model has no gradients; got an input that requires them. Run it under "
                    "torch.inference_mode(), or train the fake-quantized model instead."
                )
            x = x.detach()
        array: NDArray[np.float32] = x.resolve_neg().numpy()
        if array.ndim == 4:
            return array
        height, width, channels = self._input_size
        return array.reshape(len(array), channels, height, width)

    def _refused(self, x: object) -> ShapeError:
        wanted = ", ".join(map(str, ("N", *self._input_sizes)))
        rule = f"A compiled model takes float32 ({wanted}) on the CPU, not empty"
        if not isinstance(x, Tensor) or x.layout != torch.strided or x.is_nested:
            found = x.layout if isinstance(x, Tensor) and not x.is_nested else type(x).__name__
            return ShapeError(f"{rule}; got {found}. Give one dense tensor.")
        return ShapeError(
            f"{rule}; got {str(x.dtype).removeprefix('torch.')} {tuple(x.shape)} on {x.device}. Convert it "
            "with `.float().cpu()`, or trace the model with inputs of this size."
        )

    def _new_output(self, batch: int) -> tuple[Tensor, NDArray[np.float32]]:
        """The tensor to return, and its memory in the program's shape."""
        # numpy makes arrays and views of them in a fraction of the time that torch takes.
        out = np.empty((batch, *self._plan.output_shape), np.float32)
        is_image = len(self._output_sizes) == 3
        y = out.transpose(0, 3, 1, 2) if is_image else out.reshape(batch, *self._output_sizes)
        return torch.from_numpy(y), out

    def _prepare(self, batch: int) -> None:
        if batch == self._batch:
            return
        self._batch = 0  # if memory runs out below
        self._program.prepare(batch)
        self._loaded = self._program.value(self._plan.input)
        self._segments = tuple(self._segments_now())
        self._batch = batch

    def _segments_now(self) -> Iterator[_Segment]:
        first = 0
        for place, call in self._plan.float_calls.items():
            values = (self._program.value(call.source), self._program.value(call.result))
            yield _Segment(first=first, last=place, float_call=call.layer.bind(*values))
            first = place + 1
        yield _Segment(first=first, last=len(self.steps))


def _by_graph_name(
    model: nn.Module, layers: Mapping[str, QuantizedLayer], graph: ModelGraph
) -> dict[str, QuantizedLayer]:
    """The packed layers by the names that the graph has for them: a shared module has several."""
    packed = {id(module): layers[name] for name, module in find_layers(model, layers).items()}
    names = [node.layer for node in graph.nodes if node.kind == "layer"]
    found = find_layers(model, names)
    return {name: packed[id(found[name])] for name in names if id(found[name]) in packed}


def _outer_sizes(size: Size, rank: int) -> tuple[int, ...]:
    """What follows N in the shape of a tensor of that rank."""
    height, width, channels = size
    return {4: (channels, height, width), 3: (channels, width), 2: (channels,)}[rank]
