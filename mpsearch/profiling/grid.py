"""Shapes to measure so that others can be interpolated between them."""

from __future__ import annotations

from mpsearch.models.layer_shape import LayerShape


def grid_shapes() -> tuple[LayerShape, ...]:
    """About sixty shapes of every operator kind, from tiny to what batch 1 inference on CPUs meets."""
    return (*_linear(), *_conv2d(), *_grouped(), *_conv1d())


def _linear() -> list[LayerShape]:
    sizes = [(16, 10), (64, 16), (64, 64), (256, 10), (256, 256), (784, 256), (512, 2048), (2048, 512)]
    sizes += [(1024, 1024), (4096, 4096)]
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
    ]  # fmt: skip
    one = [(1, 8, 4), (16, 32, 16), (64, 64, 16), (128, 256, 8), (256, 64, 28), (512, 512, 4)]
    return [
        *(_conv(c, n, size, kernel=3) for c, n, size in three),
        *(
            _conv(c, n, size, kernel=3, stride=2)
            for c, n, size in [(16, 32, 32), (64, 128, 16), (128, 256, 8)]
        ),
        *(_conv(c, n, size, kernel=1) for c, n, size in one),
    ]


def _grouped() -> list[LayerShape]:
    depthwise = [(8, 4), (16, 16), (32, 32), (64, 16), (128, 8), (256, 14), (512, 4), (96, 56)]
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
