"""What a profile must be called to tell its latencies from those of others: latency@pi5."""

from __future__ import annotations

import re

from mpsearch.errors import ConfigError

_RULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def device_name(name: str) -> str:
    """The name, if it can be written behind an @ and as a file.

    Raises: ConfigError if it cannot.
    """
    if not _RULE.fullmatch(name):
        raise ConfigError(
            "A further profile must have a name of at most 64 letters, digits, dashes, dots and underscores, "
            f"a letter or digit first, as in latency@pi5; got {name!r:.100}. Change `name` in its file."
        )
    return name
