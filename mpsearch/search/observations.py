"""What trials tell of the score: one row a trial, repeats of a policy and estimates from short ones too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

# A note on a trial that is not complete: [score, variance], what its shorter fidelities let expect of its
# score in full, and how far that is off (the sampling of a full score is not part of it).
ESTIMATE = "mpsearch:estimate"
# A note on a trial that the model chose: gain and luck of its `NextPolicy`.
ADVICE = "mpsearch:advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is expected of a score in full, and its variance."""

    score: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """Codes (N, C), scores (N,), and variances (N,) beyond the noise of a score in full: 0 for complete ones.

    A policy that is trained several times has several rows.
    """

    codes: Codes
    scores: Floats
    variances: Floats
