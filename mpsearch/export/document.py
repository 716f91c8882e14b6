"""A JSON object with a schema number, in a file that is either whole or absent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import regular_content, write_atomically
from mpsearch.errors import FormatError


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Replace `path` by a file with the object.

    Raises: StorageError if the disk is full or the folder cannot be written.
    """
    write_atomically(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_document(path: Path, *, schema: int, what: str) -> dict[str, Any]:
    """The object in `path`, its `schema` checked.

    Raises: FormatError if the file is absent, truncated, not such an object, or of a newer schema.
    """
    try:
        document = json.loads(regular_content(path))
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair could not be shown
        odd = next(_numbers_that_json_lacks(document), None)
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} must be {what}; got: {error}. Export it again.") from error
    if odd is not None:
        raise FormatError(
            f"`{odd:.200}` in {path} must be a finite number; got NaN or infinity. Export it again."
        )
    if not isinstance(document, dict):
        raise FormatError(f"{path} must be {what}, a JSON object; got {type(document).__name__}.")
    found = document.get("schema")
    if type(found) is not int or found < 1:
        raise FormatError(f"{path} must be {what} with a whole number as `schema`; got {found!r}.")
    if found > schema:
        raise FormatError(
            f"{path} has schema {found}; this mpsearch reads up to {schema}. Install a newer mpsearch."
        )
    return document


def _numbers_that_json_lacks(value: Any, place: str = "") -> Iterator[str]:
    """Where NaN or infinity is, as `section.key`: Python's reader takes them, its strict writer does not."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers_that_json_lacks(item, f"{place}.{key}" if place else str(key))


def required(document: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: Path) -> Any:
    """`document[key]`, of that type; a bool is not a number, nor is NaN, infinity or what exceeds 64 bits.

    Raises: FormatError if it is missing or of another type.
    """
    value = document.get(key)
    is_odd = isinstance(value, bool) and kind is not bool
    is_odd |= isinstance(value, float) and not math.isfinite(value)
    is_odd |= isinstance(value, int) and not -(2**63) <= value < 2**63
    if not isinstance(value, kind) or is_odd:
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise FormatError(f"`{key}` in {where} must be {names}; got {value!r:.200}. Export it again.")
    return value
