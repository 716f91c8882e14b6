"""A packed model on disk: `model.safetensors`, the weights in the bits they claim; `manifest.json`; a check.

In model.safetensors:

    quantized/LAYER/weight              uint8, `pack_weights` of the integers
    quantized/LAYER/weight_scale        float32 (N,)
    quantized/LAYER/activation_scale    float32 (1,)
    quantized/LAYER/threshold           float32 (C,), 1-bit activations only
    quantized/LAYER/bias                float32 (N,), where there is one
    float/NAME                          everything else of the state dict, as it was

The manifest holds the geometry of each layer and the SHA-256 of each file. check.safetensors holds
`outputs`: what the trial's fake-quant model returned on the first validation samples, for `mpsearch bench`.
Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mpsearch.atomic_file import storing
from mpsearch.errors import ExportError, FormatError, MpsearchError
from mpsearch.export.manifest import LayerGeometry, Manifest
from mpsearch.kernels.packing import pack_weights, packed_size_bytes, unpack_weights
from mpsearch.kernels.quantized_layer import ActivationFormat, QuantizedLayer
from mpsearch.precision.scheme import Scheme
from mpsearch.training.task_name import relative_to

WEIGHTS_FILE = "model.safetensors"
MANIFEST_FILE = "manifest.json"
CHECK_FILE = "check.safetensors"
_QUANTIZED, _FLOAT, _OUTPUTS = "quantized/", "float/", "outputs"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedFile:
    """A packed model as read: integers unpacked again, everything checked.

    `floats` are the entries of the model's state dict that stay as they were; `check_outputs` is
    (samples, *) float32.
    """

    manifest: Manifest
    layers: Mapping[str, QuantizedLayer]
    floats: Mapping[str, Tensor]
    check_outputs: Tensor


def geometry_of(layer: QuantizedLayer) -> LayerGeometry:
    count, channels, height, width = layer.weight.shape
    return LayerGeometry(
        operator=layer.operator,
        weight_shape=(count, channels, height, width),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        zero_point=layer.activation.zero_point,
        has_bias=layer.bias is not None,
    )


def write_packed(folder: Path, packed: PackedFile) -> Manifest:
    """Write both files into a new folder, then rename it to `folder`; returns the manifest as written.

    Raises: ExportError if `folder` holds something other than a packed model; StorageError if it cannot
    be written.
    """
    if folder.exists() and not _may_replace(folder):
        raise ExportError(
            f"The export folder must be new, empty or an earlier packed model; {folder} is none of these. "
            "Name another with --out."
        )
    data = save(_tensors(packed))
    outputs = save({_OUTPUTS: packed.check_outputs.detach().contiguous().clone()})
    manifest = replace(
        packed.manifest,
        task=relative_to(folder, packed.manifest.task),
        weights_sha256=hashlib.sha256(data).hexdigest(),
        weights_bytes=len(data),
        check=replace(packed.manifest.check, outputs_sha256=hashlib.sha256(outputs).hexdigest()),
    )
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
            fresh = Path(work) / "new"
            fresh.mkdir()
            (fresh / WEIGHTS_FILE).write_bytes(data)
            (fresh / CHECK_FILE).write_bytes(outputs)
            manifest.save(fresh / MANIFEST_FILE)
            if folder.exists():
                folder.rename(Path(work) / "old")
            fresh.rename(folder)
    return manifest


def read_packed(folder: Path) -> PackedFile:
    """Read and check a packed model.

    Raises: FormatError if a file is missing, truncated, altered, of a newer schema, or its parts do not fit.
    """
    manifest = Manifest.load(folder / MANIFEST_FILE)
    path = folder / WEIGHTS_FILE
    tensors = _read_tensors(path, manifest.weights_sha256)
    layers = {
        name: _read_layer(name, geometry, manifest.policy[name], tensors, path)
        for name, geometry in manifest.layers.items()
    }
    unknown = [name for name in tensors if not name.startswith(_FLOAT)]
    if unknown:
        raise FormatError(f"{path} must hold only what its manifest describes; got `{unknown[0]}` too.")
    check_path, samples = folder / CHECK_FILE, manifest.check.samples
    outputs = _read_tensors(check_path, manifest.check.outputs_sha256).get(_OUTPUTS)
    is_there = outputs is not None and outputs.dtype == torch.float32 and outputs.ndim > 0
    if outputs is None or not is_there or len(outputs) != samples or not bool(outputs.isfinite().all()):
        raise FormatError(
            f"{check_path} must hold `{_OUTPUTS}`, float32, finite, {samples} samples. Export it again."
        )
    return PackedFile(
        manifest=manifest,
        layers=layers,
        floats={name.removeprefix(_FLOAT): tensor for name, tensor in tensors.items()},
        check_outputs=outputs,
    )


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file that must have that hash."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} must be readable; got: {error}. Export the trial again.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise FormatError(
            f"{path} must have the SHA-256 that the manifest says, {sha256}; got {found}, {len(data)} bytes. "
            "Copy it again, or export the trial again."
        )
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise FormatError(f"{path} must be a safetensors file; got: {error}. Export it again.") from error


def _may_replace(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return names <= {WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE}


def _tensors(packed: PackedFile) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, layer in packed.layers.items():
        arrays: dict[str, NDArray[np.generic] | None] = {
            "weight": pack_weights(layer.weight, layer.scheme),
            "weight_scale": layer.weight_scale,
            "activation_scale": np.array([layer.activation.scale], np.float32),
            "threshold": layer.activation.threshold,
            "bias": layer.bias,
        }
        for part, array in arrays.items():
            if array is not None:
                tensors[f"{_QUANTIZED}{name}/{part}"] = torch.from_numpy(array.copy())
    for name, tensor in packed.floats.items():
        tensors[_FLOAT + name] = tensor.detach().contiguous().clone()
    return tensors


def _read_layer(
    name: str, geometry: LayerGeometry, scheme: Scheme, tensors: dict[str, Tensor], path: Path
) -> QuantizedLayer:
    """Takes the layer's tensors out of `tensors`."""

    def part(which: str, dtype: torch.dtype, size: int) -> NDArray[np.generic]:
        tensor = tensors.pop(f"{_QUANTIZED}{name}/{which}", None)
        if tensor is None or tensor.dtype != dtype or tuple(tensor.shape) != (size,):
            found = "nothing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
            raise FormatError(
                f"`{which}` of layer {name} in {path} must be {dtype} ({size},); got {found}. "
                "Export it again."
            )
        array: NDArray[np.generic] = tensor.numpy()
        if dtype.is_floating_point and not np.isfinite(array).all():
            raise FormatError(f"`{which}` of layer {name} in {path} must be finite. Export it again.")
        return array

    count, channels = geometry.weight_shape[:2]
    weights = math.prod(geometry.weight_shape)
    try:
        codes = part("weight", torch.uint8, packed_size_bytes(weights, scheme))
        scale = np.float32(part("activation_scale", torch.float32, 1)[0])
        one_bit = scheme.activation_bits == 1
        threshold = part("threshold", torch.float32, channels * geometry.groups) if one_bit else None
        return QuantizedLayer(
            operator=geometry.operator,
            scheme=scheme,
            weight=unpack_weights(codes, scheme, geometry.weight_shape),  # type: ignore[arg-type]
            weight_scale=part("weight_scale", torch.float32, count),  # type: ignore[arg-type]
            bias=part("bias", torch.float32, count) if geometry.has_bias else None,  # type: ignore[arg-type]
            activation=ActivationFormat(
                bits=scheme.activation_bits,
                scale=scale,
                zero_point=geometry.zero_point,
                threshold=threshold,  # type: ignore[arg-type]
            ),
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            groups=geometry.groups,
        )
    except FormatError:
        raise
    except MpsearchError as error:
        raise FormatError(f"Layer {name} in {path}: {error} Export it again.") from error
