"""Tensors with a description, in one safetensors file that is either whole or absent."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mpsearch.errors import FormatError, StorageError

DESCRIPTION = "mpsearch"


def write_weights(path: Path, weights: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write both into a temporary file beside `path`, then rename it.

    Raises: StorageError if the disk is full or the folder cannot be written.
    """
    unshared = {name: tensor.detach().contiguous().clone() for name, tensor in weights.items()}
    data = save(unshared, metadata={DESCRIPTION: json.dumps(description, sort_keys=True)})
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(
            f"{path} must be writable; got: {error}. Free some space, or choose another folder "
            "(MPSEARCH_CACHE for baselines)."
        ) from error


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, description).

    Raises: FormatError if the file is truncated, corrupt or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[DESCRIPTION])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise FormatError(
            f"{path} must be a safetensors file written by mpsearch; got: {error}. "
            "Delete it to make it again."
        ) from error
    if not isinstance(description, dict):
        raise FormatError(f"The description in {path} must be an object; got {description!r}.")
    return weights, description
