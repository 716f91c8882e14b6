"""An estimate of what few bits cost in accuracy, known before any policy is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpsearch.errors import ConfigError

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proxy:
    """The loss that a policy adds, estimated as the sum of what each choice adds alone.

    `losses` (C,): for each choice (its size,), at least 0, in the task's loss or any unit that grows with it.
    `method` names where they come from: see `mpsearch.search.sensitivity`.

    Raises: ConfigError if a value is negative or not finite.
    """

    losses: tuple[Floats, ...]
    method: str

    def __post_init__(self) -> None:
        if not all(np.isfinite(added).all() and (added >= 0).all() for added in self.losses):
            raise ConfigError(
                f"What a choice adds to the loss must be finite and at least 0; got "
                f"{[added.tolist() for added in self.losses]!r:.200}. Give 0 where a choice loses nothing."
            )

    def evaluate(self, codes: Codes) -> Floats:
        """Shape: codes (P, C) -> (P,)."""
        return summed_loss(self.losses, codes)


def summed_loss(losses: Sequence[Floats], codes: Codes) -> Floats:
    """Shape: losses[c] (size of choice c,); codes (P, C) -> (P,)."""
    total = np.zeros(len(codes))
    for choice, added in enumerate(losses):
        total += added[codes[:, choice]]
    return total
