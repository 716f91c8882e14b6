"""How long a search has been at it, and how long it may go on."""

from __future__ import annotations

import time


class Clock:
    """Runs from when it is made; setting the system's clock does not matter. `limit_s`: None for no limit."""

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float | None:
        """Seconds to the limit, below 0 after it; None without one."""
        return None if self._limit_s is None else self._limit_s - self.seconds

    @property
    def is_over(self) -> bool:
        return self.left_s is not None and self.left_s <= 0
