"""What the hypervolume of a search is measured in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Box:
    """What hypervolume is measured in, all minimised: the loss first, then the costs of the objectives.

    From 0 to `reference_loss`, and for each cost to `reference_costs` (K,).
    """

    reference_loss: float
    reference_costs: Floats
