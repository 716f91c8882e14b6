"""A packed model on disk: `weights.bin`, as many bytes as the cost model counts; `manifest.json`; a check.

weights.bin is described in packed_bytes.py. The manifest holds what is needed to read it, and the SHA-256 of
each file. check.safetensors holds `outputs`: what the trial's fake-quant model returned on the first
validation samples, for `mpsearch bench`. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mpsearch.atomic_file import regular_content, storing
from mpsearch.errors import ExportError, FormatError
from mpsearch.export.manifest import LayerGeometry, Manifest
from mpsearch.export.packed_bytes import PackedBytes, form_of, packed_bytes
from mpsearch.kernels.quantized_layer import QuantizedLayer
from mpsearch.training.task_name import relative_to

WEIGHTS_FILE = "weights.bin"
MANIFEST_FILE = "manifest.json"
CHECK_FILE = "check.safetensors"
_OUTPUTS = "outputs"


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
        extras=layer.extras,
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
    forms = {name: form_of(name, tensor) for name, tensor in packed.floats.items()}
    data = packed_bytes(packed.layers, packed.floats)
    outputs = save({_OUTPUTS: packed.check_outputs.detach().contiguous().clone()})
    manifest = replace(
        packed.manifest,
        task=relative_to(folder, packed.manifest.task),
        tensors=forms,
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
    data = _read(path, manifest.weights_sha256)
    if len(data) != manifest.weights_bytes:
        raise FormatError(
            f"{path} must have {manifest.weights_bytes} bytes by its manifest; got {len(data)}. "
            "Export it again."
        )
    numbers = PackedBytes(data, path)
    layers = {
        name: numbers.layer(name, manifest.layers[name], manifest.policy[name])
        for name in sorted(manifest.layers)
    }
    floats = {name: numbers.tensor(name, manifest.tensors[name]) for name in sorted(manifest.tensors)}
    numbers.end()
    check_path, samples = folder / CHECK_FILE, manifest.check.samples
    outputs = _read_outputs(check_path, manifest.check.outputs_sha256)
    is_there = outputs is not None and outputs.dtype == torch.float32 and outputs.ndim > 0
    if outputs is None or not is_there or len(outputs) != samples or not bool(outputs.isfinite().all()):
        raise FormatError(
            f"{check_path} must hold `{_OUTPUTS}`, float32, finite, {samples} samples. Export it again."
        )
    return PackedFile(
        manifest=manifest,
        layers=layers,
        floats=floats,
        check_outputs=outputs,
    )


def _read(path: Path, sha256: str) -> bytes:
    """A file that must have that hash."""
    try:
        data = regular_content(path)
    except OSError as error:
        raise FormatError(f"{path} must be readable; got: {error}. Export the trial again.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise FormatError(
            f"{path} must have the SHA-256 that the manifest says, {sha256}; got {found}, {len(data)} bytes. "
            "Copy it again, or export the trial again."
        )
    return data


def _read_outputs(path: Path, sha256: str) -> Tensor | None:
    data = _read(path, sha256)
    try:
        return load(data).get(_OUTPUTS)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise FormatError(f"{path} must be a safetensors file; got: {error}. Export it again.") from error


def _may_replace(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return names <= {WEIGHTS_FILE, CHECK_FILE, MANIFEST_FILE}
