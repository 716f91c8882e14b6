"""The native kernels: one packed layer, and what this machine offers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import KernelError, ShapeError
from mpsearch.kernels.extension import forced_isa, load_extension, pack_layer
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.precision.scheme import scheme_named


def cpu_features() -> tuple[str, ...]:
    """Instruction sets of this CPU that the kernels know about and the system supports."""
    return tuple(load_extension().cpu_features())


def available_isas() -> tuple[str, ...]:
    """Implementations that run on this machine, best first."""
    return tuple(load_extension().available_isas())


def selected_isa(scheme_name: str) -> str:
    """The implementation that a layer of this scheme would use now.

    Raises: ConfigError if there is no such scheme; KernelError if it has no kernel, or the forced
    implementation is not available.
    """
    if scheme_named(scheme_name).is_full_precision:
        raise KernelError(f"{scheme_name} has no kernel of ours: it runs on torch. Ask for a lower scheme.")
    return str(load_extension().selected_isa(forced_isa()))


def build_info() -> dict[str, str]:
    """Compiler and kernel version of the extension."""
    return dict(load_extension().build_info())


class NativeLayer:
    """One packed layer. Inputs and outputs are NHWC; a linear layer is a 1x1 convolution.

    y = reference.run_reference(layer, x), to the bit. Calls from several threads take turns. The
    buffers of the last input size are kept: a call with the same size allocates nothing.

    Raises: KernelError if the layer exceeds the kernels' bounds (65,536 products per output,
    256 threads), the forced implementation is unavailable, or the extension is missing.
    """

    def __init__(self, layer: QuantizedLayer, *, threads: int = 1) -> None:
        self._native = pack_layer(layer, threads=threads)
        self._out_channels = layer.out_channels
        self._run = self._native.run

    @property
    def isa(self) -> str:
        """The implementation that this layer uses."""
        return str(self._native.isa)

    @property
    def packed_bytes(self) -> int:
        """Bytes of the weights as the kernel reads them (padded, so at least those of a packed file)."""
        return int(self._native.packed_bytes)

    def out_spatial(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output.

        Raises: ShapeError if the kernel does not fit.
        """
        out_height, out_width = self._native.out_spatial(height, width)
        return out_height, out_width

    def run(self, x: Any, out: Any) -> None:
        """Quantize x, compute, and write to `out`; the interpreter lock is released meanwhile.

        Numpy arrays cross fastest: `tensor.numpy()` is quicker than the tensor itself by a microsecond.

        Shape: x (N, H, W, C) and out (N, OH, OW, out_channels), float32, C-contiguous: numpy arrays
        or CPU tensors.
        Raises: ShapeError if they are not, if x is empty or the kernel does not fit.
        """
        self._run(x, out)

    def run_product(self, out: Any) -> None:
        """The product, scale and bias alone, on the activations of the last call: for benchmarks.

        Shape: out as in the last `run`.
        Raises: ShapeError if it has another number of elements, or nothing has run yet.
        """
        self._native.run_product(out)

    def run_integer(self, a: NDArray[np.int8]) -> NDArray[np.int32]:
        """The sums over k of (a - zero_point) * weight, before any scale.

        Shape: a (N, H, W, C) -> (N, OH, OW, out_channels).
        Raises: ShapeError as `run`, or if a binary activation is neither -1 nor +1.
        """
        if not isinstance(a, np.ndarray):
            raise ShapeError(f"`a` must be an int8 numpy array; got {type(a).__name__}.")
        if a.ndim == 4 and a.shape[0] > 0:
            height, width = self.out_spatial(a.shape[1], a.shape[2])
            shape = (a.shape[0], height, width, self._out_channels)
        else:
            shape = (0, 0, 0, 0)
        sums = np.empty(shape, np.int32)
        self._native.run_integer(a, sums)
        return sums
