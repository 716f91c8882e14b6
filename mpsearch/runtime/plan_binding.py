"""A compiled plan's steps as those of a native program, with the numbers of one model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from mpsearch.errors import ConfigError
from mpsearch.kernels.epilogue import Epilogue
from mpsearch.kernels.program import NativeProgram
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.models.graph import ModelGraph, Size
from mpsearch.plan.compile import Step
from mpsearch.plan.fusion import FusedGraph, Group
from mpsearch.runtime.batch_norm import batch_norm_constants
from mpsearch.runtime.float_layer import FloatLayer
from mpsearch.runtime.value_order import to_channels_last


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatCall:
    """A torch layer between two native runs: from value `source` to value `result` of the program."""

    layer: FloatLayer
    source: int
    result: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPlan:
    """A program, and what its caller must know.

    The steps of the two have the same numbers. `float_calls`: the steps that the caller runs. Step 0 puts
    (N, C, H, W) into the value `input`, of size `input_size`, (H, W, C). The last step returns
    (N, *output_shape): (H, W, C) for images; (C, H, W) for sequences and for features of flattened images.
    """

    program: NativeProgram
    float_calls: Mapping[int, FloatCall]
    input: int
    input_size: Size
    output_shape: tuple[int, int, int]


def bind_plan(
    graph: ModelGraph,
    fused: FusedGraph,
    steps: tuple[Step, ...],
    model: nn.Module,
    layers: Mapping[str, QuantizedLayer],
    *,
    threads: int,
) -> BoundPlan:
    """Build the program of these steps. `layers`: the packed ones; `model` has all other numbers.

    Raises: ConfigError if the model lacks a module of the plan; ShapeError or KernelError if a layer does not
        fit the plan.
    """
    return _Binding(graph, fused, model, layers, threads).bound(steps)


class _Binding:
    def __init__(
        self,
        graph: ModelGraph,
        fused: FusedGraph,
        model: nn.Module,
        layers: Mapping[str, QuantizedLayer],
        threads: int,
    ) -> None:
        self._orders = graph.flattened_sizes()
        self._fused = fused
        self._modules = dict(model.named_modules(remove_duplicate=False))
        self._layers = layers
        self._program = NativeProgram(threads=threads)
        self._values: dict[str, int] = {}
        self._results: dict[str, int] = {}  # of torch layers, before their epilogue
        self._images: dict[str, int] = {}
        self._float_calls: dict[int, FloatCall] = {}

    def bound(self, steps: tuple[Step, ...]) -> BoundPlan:
        for number, step in enumerate(steps):
            place = self._append(step)
            assert place == number
        output = self._fused.group(self._fused.output)
        height, width, channels = self._orders[output.name] or output.size
        is_first = self._is_output_first(output)
        return BoundPlan(
            program=self._program,
            float_calls=self._float_calls,
            input=self._value(self._fused.groups[0].name),
            input_size=self._fused.groups[0].size,
            output_shape=(channels, height, width) if is_first else (height, width, channels),
        )

    def _append(self, step: Step) -> int:
        kind, group, program = step.shape.kind, step.group, self._program
        if kind == "load":
            return program.load(self._value(group.name), channels_first=True)
        if kind == "store":
            return self._store(group)
        if kind == "float_layer":
            return self._float_layer(step)
        if kind == "subsample":
            return program.subsample(
                self._source(step),
                stride=step.shape.stride,
                channels_before=group.head.channels_before,
                value=self._value(group.name),
            )
        epilogue = self._epilogue(step)
        value = self._value(group.name) if step.writes_value else None
        images = [self._image(name) for name in step.images]
        if kind == "layer":
            return program.layer(self._image(group.name), epilogue=epilogue, value=value, images=images)
        source = self._source(step)
        if kind == "elementwise":
            return program.elementwise(source, epilogue=epilogue, value=value, images=images)
        shape = step.shape
        if kind == "avg_pool" and shape.kernel == shape.size[:2] and shape.padding == (0, 0):
            return program.global_avg_pool(source, epilogue=epilogue, value=value, images=images)
        pool = program.max_pool if kind == "max_pool" else program.avg_pool
        return pool(
            source,
            kernel=shape.kernel,
            stride=shape.stride,
            padding=shape.padding,
            epilogue=epilogue,
            value=value,
            images=images,
        )

    def _store(self, group: Group) -> int:
        value, order = self._value(group.name), self._orders[group.name]
        if order is not None:
            value = self._program.add_alias(value, *order)
        return self._program.store(value, channels_first=self._is_output_first(group))

    def _is_output_first(self, output: Group) -> bool:
        """Images leave channels last, without a copy; sequences and flattened images in PyTorch's order."""
        return self._fused.output_rank == 3 or self._orders[output.name] is not None

    def _float_layer(self, step: Step) -> int:
        source = self._source(step)
        if step.writes_value:
            result = self._value(step.group.name)
        else:
            result = self._results[step.group.name] = self._program.add_value(*step.shape.out_size)
        assert step.group.source is not None
        layer = FloatLayer(self._module(step.group.head.layer), self._orders[step.group.source])
        place = self._program.external([source], result)
        self._float_calls[place] = FloatCall(layer=layer, source=source, result=result)
        return place

    def _source(self, step: Step) -> int:
        assert step.source is not None
        return self._results[step.source] if step.source == step.group.name else self._value(step.source)

    def _value(self, name: str) -> int:
        if name not in self._values:
            group = self._fused.group(name)
            if group.head.kind == "flatten":
                assert group.source is not None
                value = self._program.add_alias(self._value(group.source), *group.size)
            else:
                value = self._program.add_value(*group.size)
            self._values[name] = value
        return self._values[name]

    def _image(self, name: str) -> int:
        """The input image of a layer's call: each call has one of its own."""
        if name not in self._images:
            group = self._fused.group(name)
            layer, shape = self._layers[group.head.layer], group.head.shape
            assert shape is not None
            assert group.source is not None
            ordered = _in_order(layer, self._orders[group.source])
            self._images[name] = self._program.add_image(ordered, *shape.spatial)
        return self._images[name]

    def _epilogue(self, step: Step) -> Epilogue:
        group = step.group
        if not step.has_epilogue:
            return Epilogue()
        order = self._orders[group.name]
        multiplier = offset = residual = None
        if group.affine is not None:
            constants = batch_norm_constants(self._module(group.affine))
            multiplier, offset = (to_channels_last(numbers, order) for numbers in constants)
        if group.residual is not None:
            residual = self._value(group.residual)
        return Epilogue(
            multiplier=multiplier,
            offset=offset,
            residual=residual,
            low=-math.inf if group.low is None else group.low,
            high=math.inf if group.high is None else group.high,
        )

    def _module(self, name: str) -> nn.Module:
        module = self._modules.get(name)
        if module is None:
            raise ConfigError(
                f"The plan needs the module {name!r}, which the model does not have. Trace this model."
            )
        return module


def _in_order(layer: QuantizedLayer, order: Size | None) -> QuantizedLayer:
    """A linear layer whose inputs come in the order (H, W, C)."""
    if order is None:
        return layer
    weight = to_channels_last(layer.weight[:, :, 0, 0], order)[:, :, None, None]
    threshold = layer.activation.threshold
    if threshold is None:
        return replace(layer, weight=weight)
    return replace(
        layer,
        weight=weight,
        activation=replace(layer.activation, threshold=to_channels_last(threshold, order)),
    )
