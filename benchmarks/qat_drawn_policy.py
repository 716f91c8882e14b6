"""Random policies of a search space, spread from low to high precision."""

from __future__ import annotations

import numpy as np

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES
from mpsearch.search.resolve import ResolvedSpace

SEED = 40


def drawn_policy(resolved: ResolvedSpace, draw: int) -> PrecisionPolicy:
    """Number `draw`: first a share of each scheme (Dirichlet, 0.5 each), then every choice by these shares.

    Schemes drawn uniformly for each layer would give policies of much the same precision, however many; a
    search looks from the fewest bits to the most.
    """
    generator = np.random.default_rng([SEED, draw])
    shares = dict(zip(SCHEMES, generator.dirichlet(np.full(len(SCHEMES), 0.5)), strict=True))
    codes = []
    for choice in resolved.choices:
        allowed = np.array([shares[scheme.name] for scheme in choice.schemes]) + 1e-9  # none may be all 0
        codes.append(int(generator.choice(len(allowed), p=allowed / allowed.sum())))
    return resolved.policy(codes)
