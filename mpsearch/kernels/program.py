"""A run of layers, pools and copies in one native call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ShapeError
from mpsearch.kernels.epilogue import Epilogue
from mpsearch.kernels.extension import check_threads, forced_isa, load_extension, pack_layer
from mpsearch.kernels.quantized_layer import QuantizedLayer

Pair = tuple[int, int]

_NOTHING = Epilogue()


class NativeProgram:
    """Steps over buffers that are planned once per batch size; a run allocates nothing.

    A value is float32 (batch, height, width, channels); values share memory when they are not alive at once.
    An image is a layer's own padded input in its activation format. Both are written by one step and read by
    later ones. A step that has an epilogue may write a value, the images of the layers that read it, or both:

        program = NativeProgram()
        pixels, features = program.add_value(32, 32, 3), program.add_value(32, 32, 16)
        first, second = program.add_image(stem, 32, 32), program.add_image(conv, 32, 32)
        program.load(pixels, channels_first=True)
        program.elementwise(pixels, images=[first])                           # quantizes
        program.layer(first, epilogue=Epilogue(low=0), images=[second])       # ReLU, quantizes
        program.layer(second, value=features)
        program.store(features, channels_first=True)
        program.prepare(batch=1)
        program.run(0, 5, x, out)                                             # x (1, 3, 32, 32)

    Layers equal reference.run_reference and epilogues epilogue.apply_epilogue to the bit, on every
    instruction set. Steps are numbered from 0 in the order in which they are added. Calls from several
    threads take turns.

    Raises: KernelError if `threads` is not in 1..256, or the forced implementation or the extension is
        missing. Steps: ShapeError if ids or shapes do not fit; KernelError if a value or image is read before
        it is written or written twice, or a fused image is impossible.
    """

    def __init__(self, *, threads: int = 1) -> None:
        check_threads(threads)
        self._threads = threads
        self._native = load_extension().Program(threads=threads, forced_isa=forced_isa())
        self._run = self._native.run

    @property
    def isa(self) -> str:
        """The implementation that this program uses."""
        return str(self._native.isa)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all layers' weights as the kernels read them."""
        return int(self._native.packed_bytes)

    @property
    def batch(self) -> int:
        """Batch size of the last `prepare`; 0 if something was added since."""
        return int(self._native.batch)

    def __len__(self) -> int:
        """Number of steps."""
        return int(self._native.step_count)

    def add_value(self, height: int, width: int, channels: int) -> int:
        """The id of a new value."""
        return int(self._native.add_value(height, width, channels))

    def add_alias(self, value: int, height: int, width: int, channels: int) -> int:
        """The id of the same numbers in another shape; only the original is written."""
        return int(self._native.add_alias(value, height, width, channels))

    def add_image(self, layer: QuantizedLayer, height: int, width: int) -> int:
        """The id of a layer's input of that size.

        Raises: KernelError if the layer exceeds the kernels' bounds; ShapeError if its kernel does not fit.
        """
        return int(self._native.add_image(pack_layer(layer, threads=self._threads), height, width))

    def load(self, value: int, *, channels_first: bool) -> int:
        """The external input x, (N, C, H, W) if channels come first, else (N, H, W, C)."""
        return int(self._native.load(value, channels_first))

    def store(self, value: int, *, channels_first: bool) -> int:
        """To the external output, (N, C, H, W) if channels come first, else (N, H, W, C)."""
        return int(self._native.store(value, channels_first))

    def elementwise(
        self,
        source: int,
        *,
        epilogue: Epilogue = _NOTHING,
        value: int | None = None,
        images: Sequence[int] = (),
    ) -> int:
        """A value through an epilogue. Images of any layer may be written, of grouped ones too."""
        return int(self._native.elementwise(source, *_sink(epilogue, value, images)))

    def layer(
        self,
        image: int,
        *,
        epilogue: Epilogue = _NOTHING,
        value: int | None = None,
        images: Sequence[int] = (),
    ) -> int:
        """The layer of that image.

        It writes images if it is ungrouped or depthwise, and they are of layers that are ungrouped, or
        depthwise with one output channel per input channel, and need not see their whole input first
        (`takes_fused_image`).
        """
        return int(self._native.layer(image, *_sink(epilogue, value, images)))

    def max_pool(
        self,
        source: int,
        *,
        kernel: Pair,
        stride: Pair,
        padding: Pair = (0, 0),
        epilogue: Epilogue = _NOTHING,
        value: int | None = None,
        images: Sequence[int] = (),
    ) -> int:
        """Maximum of each window, NaN if it holds one, as torch's max_pool2d. Images as `layer`."""
        axes = _axes(kernel, stride, padding)
        return int(self._native.pool(source, "max", *axes, False, *_sink(epilogue, value, images)))

    def avg_pool(
        self,
        source: int,
        *,
        kernel: Pair,
        stride: Pair,
        padding: Pair = (0, 0),
        count_include_pad: bool = True,
        epilogue: Epilogue = _NOTHING,
        value: int | None = None,
        images: Sequence[int] = (),
    ) -> int:
        """Mean of each window, summed in the order of torch's avg_pool2d. Images as `layer`."""
        axes = _axes(kernel, stride, padding)
        sink = _sink(epilogue, value, images)
        return int(self._native.pool(source, "window", *axes, count_include_pad, *sink))

    def global_avg_pool(
        self,
        source: int,
        *,
        epilogue: Epilogue = _NOTHING,
        value: int | None = None,
        images: Sequence[int] = (),
    ) -> int:
        """Mean over all pixels, to a height and width of 1.

        Summed in the order of torch.mean over (2, 3), and so of AdaptiveAvgPool2d(1), of a channels_last
        tensor of two channels or more; avg_pool2d with so large a kernel sums in another: `avg_pool`. Images
        as `layer`.
        """
        axes = _axes((1, 1), (1, 1), (0, 0))  # the extension knows the size
        return int(self._native.pool(source, "mean", *axes, True, *_sink(epilogue, value, images)))

    def subsample(self, source: int, *, stride: Pair, channels_before: int, value: int) -> int:
        """Every stride-th pixel, its channels between zeros: as many before as said, the rest after.

        x[:, ::stride[0], ::stride[1], :] is the parameter-free shortcut of ResNets (option A of He et al.
        2015, arXiv:1512.03385).
        """
        return int(self._native.subsample(source, *stride, channels_before, value))

    def external(self, reads: Sequence[int], writes: int) -> int:
        """A step that the caller runs between two calls of `run`, through the views of `value`."""
        return int(self._native.external(list(reads), writes))

    def prepare(self, batch: int) -> None:
        """Plan all buffers; again after steps were added, or for another batch size.

        Raises: ShapeError if batch < 1; KernelError if there is not enough memory.
        """
        self._native.prepare(batch)

    def value(self, value: int) -> NDArray[np.float32]:
        """A view of a value's memory, for external steps: valid until the next `prepare`.

        Other values use the same memory before it is written and after it was last read; one that no step
        reads keeps its numbers.

        Shape: (batch, height, width, channels).
        Raises: KernelError before `prepare`, or if no step writes the value.
        """
        view: NDArray[np.float32] = self._native.value(value)
        return view

    def run(self, first: int, last: int, x: Any = None, out: Any = None) -> None:
        """Run the steps first..last - 1, none of them external; the interpreter lock is released meanwhile.

        Shape: x and out as their steps say, float32, C-contiguous: numpy arrays or CPU tensors. Needed if
            such a step is among them.
        Raises: KernelError before `prepare` or if a step is external; ShapeError if an array does not fit.
        """
        self._run(first, last, x, out, None)

    def run_timed(
        self, first: int, last: int, seconds: NDArray[np.float64], x: Any = None, out: Any = None
    ) -> None:
        """The same, with the time of each step.

        Shape: seconds (last - first,) float64.
        Units: seconds.
        """
        self._run(first, last, x, out, seconds)


def takes_fused_image(layer: QuantizedLayer) -> bool:
    """Whether a layer's or pool's epilogue may write the image of this layer."""
    if layer.activation.ternary or layer.activation.scale_of != "layer":
        return False
    is_depthwise = layer.groups == layer.in_channels
    return layer.groups == 1 or (is_depthwise and layer.out_channels == layer.in_channels)


def writes_fused_images(layer: QuantizedLayer) -> bool:
    """Whether this layer's epilogue may write images."""
    return layer.groups in {1, layer.in_channels}


def _axes(kernel: Pair, stride: Pair, padding: Pair) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    vertical, horizontal = zip(kernel, stride, padding, strict=True)
    for size in (*vertical, *horizontal):
        if not isinstance(size, int) or not -(2**63) <= size < 2**63:
            raise ShapeError(f"Sizes of a pool must be whole numbers of 64 bits; got {size!r:.100}.")
    return vertical, horizontal


def _sink(epilogue: Epilogue, value: int | None, images: Sequence[int]) -> tuple[Any, int, list[int]]:
    if value is not None and value < 0:
        raise ShapeError(f"`value` must be the id of a value; got {value}.")
    multiplier, offset = epilogue.affine() or (None, None)
    residual = -1 if epilogue.residual is None else epilogue.residual
    if not isinstance(residual, int) or residual >= 2**31:
        raise ShapeError(f"`residual` must be the id of a value; got {residual!r:.100}.")
    numbers = (
        None if multiplier is None else np.ascontiguousarray(multiplier),
        None if offset is None else np.ascontiguousarray(offset),
        residual,
        epilogue.low,
        epilogue.high,
    )
    return numbers, -1 if value is None else value, list(images)
