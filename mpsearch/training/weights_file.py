"""Tensors with a description, in one safetensors file that is either whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mpsearch.atomic_file import write_atomically
from mpsearch.errors import FormatError

DESCRIPTION = "mpsearch"


def write_weights(
    path: Path, weights: Mapping[str, Tensor], description: Mapping[str, Any], setting: str = "--out"
) -> None:
    """Replace `path` by a file with both.

    Raises: StorageError if the disk is full or the folder cannot be written.
    """
    unshared = {name: tensor.detach().contiguous().clone() for name, tensor in weights.items()}
    data = save(unshared, metadata={DESCRIPTION: json.dumps(description, sort_keys=True)})
    write_atomically(path, data, setting)


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
            "Restore it from a copy, or make it again."
        ) from error
    if not isinstance(description, dict):
        raise FormatError(f"The description in {path} must be an object; got {description!r}.")
    return weights, description
