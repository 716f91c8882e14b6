"""The numbers of a packed model end to end, without a header: as many bytes as the cost model counts.

Layers in the order of their names, each of them

    weight              `pack_weights` of the integers
    weight_scale        float32 (N,)
    negative_scale      float32 (N,), where weights below 0 have a scale of their own
    activation_scale    float32 (1,)
    ternary_step        float32 (1,), ternary inputs only
    threshold           float32 (C,), 1-bit activations only
    bias                float32 (N,), where there is one

then the tensors that stay as they were, in the order of their names. Little-endian, nothing in between: what
each part is, the manifest says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpsearch.errors import ExportError, FormatError, MpsearchError
from mpsearch.export.manifest import DTYPE_BYTES, LayerGeometry, TensorForm
from mpsearch.kernels.packing import pack_weights, packed_size_bytes, unpack_weights
from mpsearch.kernels.quantized_layer import ActivationFormat, QuantizedLayer, ScaleOf
from mpsearch.models.layer_shape import Extra
from mpsearch.precision.scheme import Scheme

_FLOAT = np.dtype("<f4")


def form_of(name: str, tensor: Tensor) -> TensorForm:
    """Raises: ExportError if the type has no name in the format."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPE_BYTES:
        raise ExportError(
            f"A tensor to export must have one of the types {', '.join(DTYPE_BYTES)}; {name!r} is {dtype}. "
            "Convert it in the task's model."
        )
    return TensorForm(dtype=dtype, shape=tuple(tensor.shape))


def packed_bytes(layers: Mapping[str, QuantizedLayer], floats: Mapping[str, Tensor]) -> bytes:
    """What `PackedBytes` reads."""
    parts = []
    for name in sorted(layers):
        layer = layers[name]
        parts.append(pack_weights(layer.weight, layer.scheme).tobytes())
        scales = (layer.weight_scale, layer.negative_scale, layer.activation.scale)
        numbers = (*scales, layer.activation.ternary_step, layer.activation.threshold, layer.bias)
        parts += [np.asarray(array, _FLOAT).tobytes() for array in numbers if array is not None]
    for name in sorted(floats):
        parts.append(floats[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return b"".join(parts)


class PackedBytes:
    """Reads such bytes from first to last. `path` is named in errors, all of them FormatError."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data = data
        self._path = path
        self._place = 0

    def layer(self, name: str, geometry: LayerGeometry, scheme: Scheme) -> QuantizedLayer:
        """The next layer.

        Raises: FormatError if the bytes end, or the numbers make no layer.
        """
        count, channels = geometry.weight_shape[:2]
        weights = math.prod(geometry.weight_shape)
        one_bit = scheme.activation_bits == 1
        codes = np.frombuffer(self._take(packed_size_bytes(weights, scheme), name), np.uint8)
        weight_scale = self._floats(count, name)
        negative_scale = self._floats(count, name) if "two_scales" in geometry.extras else None
        scale = self._floats(1, name)[0]
        ternary_step = self._floats(1, name)[0] if "ternary_input" in geometry.extras else None
        threshold = self._floats(channels * geometry.groups, name) if one_bit else None
        bias = self._floats(count, name) if geometry.has_bias else None
        try:
            return QuantizedLayer(
                operator=geometry.operator,
                scheme=scheme,
                weight=unpack_weights(codes, scheme, geometry.weight_shape),
                weight_scale=weight_scale,
                negative_scale=negative_scale,
                bias=bias,
                activation=ActivationFormat(
                    bits=scheme.activation_bits,
                    scale=scale,
                    zero_point=geometry.zero_point,
                    threshold=threshold,
                    scale_of=_scale_of(geometry.extras),
                    ternary_step=ternary_step,
                ),
                stride=geometry.stride,
                padding=geometry.padding,
                dilation=geometry.dilation,
                groups=geometry.groups,
            )
        except MpsearchError as error:
            raise FormatError(f"Layer {name} in {self._path}: {error} Export it again.") from error

    def tensor(self, name: str, form: TensorForm) -> Tensor:
        """The next tensor that stayed as it was.

        Raises: FormatError if the bytes end, or a bool is neither 0 nor 1.
        """
        data = self._take(form.size_bytes, name)
        if form.dtype == "bool" and data.strip(b"\0\1"):
            raise FormatError(f"`{name}` in {self._path} must hold bools. Export it again.")
        dtype: torch.dtype = getattr(torch, form.dtype)
        if not data:
            return torch.empty(form.shape, dtype=dtype)
        return torch.frombuffer(bytearray(data), dtype=dtype).reshape(form.shape)

    def end(self) -> None:
        """Raises: FormatError if anything is left."""
        if self._place != len(self._data):
            raise FormatError(
                f"{self._path} must hold the {self._place} bytes that its manifest describes; got "
                f"{len(self._data)}. Export it again."
            )

    def _floats(self, count: int, name: str) -> NDArray[np.float32]:
        array = np.frombuffer(self._take(_FLOAT.itemsize * count, name), _FLOAT).astype(np.float32)
        if not np.isfinite(array).all():
            raise FormatError(f"The numbers of {name} in {self._path} must be finite. Export it again.")
        return array

    def _take(self, size: int, name: str) -> bytes:
        left = len(self._data) - self._place
        if size > left:
            raise FormatError(
                f"{name} in {self._path} must take {size} bytes by the manifest; {left} are left. "
                "Export it again."
            )
        self._place += size
        return self._data[self._place - size : self._place]


def _scale_of(extras: tuple[Extra, ...]) -> ScaleOf:
    if "token_scale" in extras:
        return "token"
    return "pixel" if "pixel_scale" in extras else "layer"
