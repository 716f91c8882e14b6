"""Shapes to measure so that others can be interpolated between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from mpsearch.models.graph import ModelGraph, Node
from mpsearch.models.layer_shape import LayerShape
from mpsearch.models.model_trace import ModelTrace, TracedLayer
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES
from mpsearch.profiling.profiled_model import ProfiledModel
from mpsearch.profiling.random_layer import random_input, random_layer


def grid_models() -> Iterator[ProfiledModel]:
    """Of each shape a model of that layer, as a plan and as a call in torch.

    In the plan a small layer behind it reads its output in any format; it runs from and to ReLU, as most do
    in networks.
    """
    for shape in grid_shapes():
        plan = _model_of(shape)
        yield plan
        yield replace(
            plan,
            trace=replace(plan.trace, layers=plan.trace.layers[:1], graph=None),
            schemes={"layer": plan.schemes["layer"]},
        )


def _model_of(shape: LayerShape) -> ProfiledModel:
    reader = _reader_of(shape)
    height, width, channels = (*shape.spatial, shape.in_channels)
    model = nn.Module()
    model.add_module("layer", random_layer(shape, FULL_PRECISION, threads=1))
    model.add_module("reader", random_layer(reader, FULL_PRECISION, threads=1))
    out_size = (*shape.out_spatial, shape.out_channels)
    nodes = (
        Node(name="input", kind="input", inputs=(), size=(height, width, channels)),
        Node(name="before", kind="clamp", inputs=("input",), size=(height, width, channels), low=0.0),
        Node(
            name="layer",
            kind="layer",
            inputs=("before",),
            size=out_size,
            layer="layer",
            shape=replace(shape, batch=1),
        ),
        Node(name="after", kind="clamp", inputs=("layer",), size=out_size, low=0.0),
        Node(
            name="reader",
            kind="layer",
            inputs=("after",),
            size=(*reader.out_spatial, reader.out_channels),
            layer="reader",
            shape=replace(reader, batch=1),
        ),
    )
    rank = {"linear": 2, "conv1d": 3, "conv2d": 4}[shape.operator]
    layers = tuple(
        TracedLayer(name=name, calls=(call,), weight_count=call.weight_count, has_bias=call.has_bias)
        for name, call in (("layer", shape), ("reader", reader))
    )
    trace = ModelTrace(
        layers=layers,
        unquantized=(),
        other_parameter_bytes=0,
        peak_activation_bytes=4 * (shape.input_count + shape.output_count),
        fingerprint=f"grid {shape}",
        graph=ModelGraph(nodes=nodes, output="reader", input_rank=rank, output_rank=rank),
    )
    formats = tuple(scheme for scheme in SCHEMES.values() if scheme.name in ("w1a1", "w8a8", "w32a32"))
    return ProfiledModel(
        model=model,
        example_inputs=(random_input(shape),),
        trace=trace,
        schemes={"layer": tuple(SCHEMES.values()), "reader": formats},
        label=str(shape),
        has_passes=False,
    )


def _reader_of(shape: LayerShape) -> LayerShape:
    return LayerShape(
        operator=shape.operator,
        batch=shape.batch,
        in_channels=shape.out_channels,
        out_channels=8,
        spatial=shape.out_spatial,
    )


def grid_shapes() -> tuple[LayerShape, ...]:
    """About a hundred shapes of every operator kind, from tiny to what batch 1 inference on CPUs meets."""
    return (*_linear(), *_conv2d(), *_grouped(), *_conv1d())


def _linear() -> list[LayerShape]:
    sizes = [(16, 10), (64, 16), (64, 64), (256, 10), (256, 256), (784, 256), (512, 2048), (2048, 512)]
    sizes += [(1024, 1024), (4096, 4096), (32, 10), (64, 12), (128, 10), (512, 12), (1024, 10), (4096, 16)]
    sizes += [(128, 64), (96, 32), (256, 96), (384, 192), (512, 128), (768, 512), (1024, 256)]
    single = [LayerShape(operator="linear", batch=1, in_channels=k, out_channels=n) for k, n in sizes]
    batched = [
        LayerShape(operator="linear", batch=batch, in_channels=k, out_channels=n)
        for batch, k, n in [(16, 16, 10), (64, 64, 64), (64, 128, 512), (128, 512, 512), (64, 1024, 1024)]
    ]
    return single + batched


def _conv2d() -> list[LayerShape]:
    three = [
        (1, 8, 8), (3, 16, 32), (16, 16, 8), (16, 16, 32), (32, 32, 16), (64, 64, 8),
        (32, 64, 16), (64, 64, 32), (128, 128, 16), (256, 256, 8), (256, 512, 4), (3, 64, 56), (512, 512, 7),
        (1, 32, 28), (3, 8, 32), (3, 24, 32), (3, 48, 32), (8, 8, 32), (16, 16, 24), (16,
        32, 16), (24, 24, 32),
        (24, 24, 16), (24, 48, 16), (32, 32, 24), (32, 32, 12), (32, 48, 32), (48, 48, 16), (48, 48, 8),
        (48, 96, 16), (64, 64, 12), (64, 96, 8), (96, 96, 8), (96, 96, 16), (96, 128, 8), (128, 128, 12),
        (128, 192, 8), (192, 192, 8),
    ]  # fmt: skip
    one = [(1, 8, 4), (16, 32, 16), (64, 64, 16), (128, 256, 8), (256, 64, 28), (512, 512, 4)]
    one += [
        (32, 64, 12),
        (48, 48, 12),
        (64, 64, 10),
        (64, 96, 12),
        (96, 96, 12),
        (128, 128, 12),
        (64, 128, 16),
    ]
    return [
        *(_conv(c, n, size, kernel=3) for c, n, size in three),
        *(
            _conv(c, n, size, kernel=3, stride=2)
            for c, n, size in [
                (16, 24, 32),
                (16, 32, 24),
                (24, 48, 16),
                (32, 48, 16),
                (48, 96, 16),
                (64, 128, 16),
                (128, 256, 8),
            ]
        ),
        *(_conv(c, n, size, kernel=1) for c, n, size in one),
    ]


def _grouped() -> list[LayerShape]:
    depthwise = [
        (8, 4),
        (16, 16),
        (32, 32),
        (64, 16),
        (128, 8),
        (256, 14),
        (512, 4),
        (96, 56),
        (64, 12),
        (64, 8),
        (48, 12),
        (96, 12),
    ]
    grouped = [(16, 8), (32, 32), (64, 16), (128, 8), (256, 14), (512, 4)]
    return [
        *(_conv(c, c, size, kernel=3, groups=c) for c, size in depthwise),
        *(_conv(c, c, size, kernel=3, groups=4) for c, size in grouped),
    ]


def _conv1d() -> list[LayerShape]:
    sizes = [(1, 8, 16), (8, 16, 64), (16, 32, 256), (64, 64, 128), (128, 128, 64), (64, 128, 512)]
    sizes += [(256, 256, 128)]
    return [
        LayerShape(
            operator="conv1d",
            batch=1,
            in_channels=c,
            out_channels=n,
            spatial=(1, length),
            kernel=(1, 3),
            padding=(0, 1),
        )
        for c, n, length in sizes
    ]


def _conv(c: int, n: int, size: int, *, kernel: int, stride: int = 1, groups: int = 1) -> LayerShape:
    return LayerShape(
        operator="conv2d",
        batch=1,
        in_channels=c,
        out_channels=n,
        spatial=(size, size),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(kernel // 2, kernel // 2),
        groups=groups,
    )
