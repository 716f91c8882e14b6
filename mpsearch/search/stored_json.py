"""JSON as it lies in a run: read in one way, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any


def parsed_json(text: Any) -> Any:
    """The value of a JSON text.

    Raises: ValueError if it is no JSON text, nested too deeply, or holds half a surrogate pair, which no
    terminal and no file would take.
    """
    if not isinstance(text, str):
        raise ValueError(f"not a text: {text!r:.80}")  # noqa: TRY004 - of a file, as all else here
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value
