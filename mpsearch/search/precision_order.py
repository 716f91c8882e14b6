"""The codes of each choice in the order of their precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpsearch.errors import ConfigError
from mpsearch.search.known_policies import Codes, KnownPolicies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrecisionOrder:
    """Codes and places, 0 for the lowest precision that a choice may take; widths as they are coded.

    `ascending` (C,): for each choice the codes that are allowed, lowest first. `places` (C,): code -> place;
    of one that is not allowed, that of the next higher one that is, or of the highest.

    Raises: ConfigError if a choice is allowed no code.
    """

    ascending: tuple[Codes, ...]
    places: tuple[Codes, ...]

    @classmethod
    def of(cls, policies: KnownPolicies) -> PrecisionOrder:
        ascending, places = [], []
        for choice, size in enumerate(policies.sizes.tolist()):
            schemes = policies.places[choice]
            order = np.arange(size) if schemes is None else np.argsort(schemes, kind="stable")
            allowed = np.ones(size, bool) if policies.allowed is None else policies.allowed[choice]
            is_allowed = allowed[order]
            if not is_allowed.any():
                raise ConfigError(
                    f"Each choice must be allowed a code; got none for {policies.names[choice]!r}. Allow one "
                    f"of its {size}."
                )
            lower = np.cumsum(is_allowed) - is_allowed
            place = np.empty(size, dtype=np.int64)
            place[order] = np.minimum(lower, is_allowed.sum() - 1)
            ascending.append(order[is_allowed])
            places.append(place)
        return cls(ascending=tuple(ascending), places=tuple(places))

    @property
    def sizes(self) -> Codes:
        """How many each choice may take. Shape: (C,)."""
        return np.array([len(codes) for codes in self.ascending])

    def codes_at(self, places: Codes) -> Codes:
        """Shape: (..., C) -> (..., C)."""
        return np.stack([codes[places[..., c]] for c, codes in enumerate(self.ascending)], axis=-1)

    def places_of(self, codes: Codes) -> Codes:
        """Shape: (..., C) -> (..., C)."""
        return np.stack([place[codes[..., c]] for c, place in enumerate(self.places)], axis=-1)
