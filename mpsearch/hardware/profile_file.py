"""A profile's JSON: one measurement a line, and what is wrong with a file that is none."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from mpsearch.atomic_file import regular_content
from mpsearch.errors import FormatError, ProfileError


def repair_of(path: Path | str) -> str:
    """What to do about a file that is no profile."""
    return f"Restore it, or delete it and measure again: {_measuring(path)}"


def profile_text(document: dict[str, Any]) -> str:
    """JSON with a line for each measurement, so that two profiles can be compared line by line."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n".join(f"    {json.dumps(entry, allow_nan=False)}" for entry in value)
            text = f"[\n{entries}\n  ]"
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).replace("\n", "\n  ")
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_document(path: Path, schema: int) -> dict[str, Any]:
    """The JSON object in the file, of this schema.

    Raises: ProfileError if the file cannot be read; FormatError if it is no JSON object of `schema`.
    """
    try:
        text = regular_content(path).decode()
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not a hardware profile: it is not UTF-8 text ({error.reason}). {repair_of(path)}"
        ) from error
    except OSError as error:
        raise ProfileError(
            f"A hardware profile must be a readable file; got {path}: {error.strerror or error}. "
            f"Check the name, or measure one: {_measuring(path)}"
        ) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is truncated or not JSON: {error}. {repair_of(path)}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path} must hold a JSON object; got {type(document).__name__}. {repair_of(path)}")
    found = document.get("schema")
    if type(found) is not int or found < 1:
        raise FormatError(f"{path} is not a hardware profile: `schema` is {found!r:.80}. {repair_of(path)}")
    if found > schema:
        raise FormatError(
            f"{path} has schema {found}, and this mpsearch reads {schema}. Upgrade mpsearch, "
            f"or delete it and measure again: {_measuring(path)}"
        )
    if found < schema:
        raise FormatError(
            f"{path} has schema {found}, and this mpsearch reads {schema} alone: what is timed has changed, "
            f"so old figures do not carry over. Delete it and measure again: {_measuring(path)}"
        )
    return document


def _measuring(path: Path | str) -> str:
    return f"mpsearch profile --out {shlex.quote(str(path))}"
