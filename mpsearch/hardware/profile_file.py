"""A profile's JSON: one measurement a line, and what is wrong with a file that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mpsearch.errors import FormatError, ProfileError

MEASURE_AGAIN = "Measure again: mpsearch profile --out PROFILE.json"


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
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not a hardware profile: it is not UTF-8 text ({error.reason}). {MEASURE_AGAIN}"
        ) from error
    except OSError as error:
        raise ProfileError(
            f"A hardware profile must be a readable file; got {path}: {error.strerror or error}. "
            f"{MEASURE_AGAIN}"
        ) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is truncated or not JSON: {error}. {MEASURE_AGAIN}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path} must hold a JSON object; got {type(document).__name__}. {MEASURE_AGAIN}")
    found = document.get("schema")
    if type(found) is not int or found < 1:
        raise FormatError(f"{path} is not a hardware profile: `schema` is {found!r:.80}. {MEASURE_AGAIN}")
    if found > schema:
        raise FormatError(
            f"{path} has schema {found}, and this mpsearch reads up to {schema}. Upgrade mpsearch, "
            f"or {MEASURE_AGAIN[0].lower()}{MEASURE_AGAIN[1:]}"
        )
    return document
