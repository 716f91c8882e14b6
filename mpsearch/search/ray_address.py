"""What names a Ray cluster: checked without Ray, which takes a second to import."""

from __future__ import annotations

import re

from mpsearch.errors import ConfigError

TUNE_THREAD = "ray-tune"  # the name of the thread that Ray Tune runs in
LOCAL, AUTO = "local", "auto"


def require_address(address: str) -> None:
    """Raises: ConfigError if the address is neither local, nor auto, nor HOST:PORT."""
    if address in (LOCAL, AUTO):
        return
    if address.startswith("ray://"):
        raise ConfigError(
            f"Searches run on a machine of the cluster, not over Ray's client protocol; got {address!r}. "
            "Make this machine a node (ray start --address=HOST:PORT) and use --ray auto."
        )
    found = re.fullmatch(r"\[?([^\s/]+?)\]?:(\d{1,5})", address)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise ConfigError(f"`ray` must be local, auto or HOST:PORT; got {address!r}.")
