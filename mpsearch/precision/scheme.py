"""How one layer computes: weight bits, activation bits."""

from __future__ import annotations

from dataclasses import dataclass

from mpsearch.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way to compute a layer.

    Units: `weight_bits` is the information per weight (ternary: log2 3, written 1.58);
    `storage_bits` is what one weight takes in a packed file (ternary: five to a byte, 1.6).
    """

    name: str
    weight_bits: float
    activation_bits: int
    storage_bits: float

    @property
    def is_full_precision(self) -> bool:
        return self.weight_bits == 32

    @property
    def is_ternary(self) -> bool:
        return 1 < self.weight_bits < 2

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)  # policies of many layers are hashed often


# Lowest precision first: samplers code a scheme as its place in this order.
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="w1a1", weight_bits=1, activation_bits=1, storage_bits=1),
        Scheme(name="w1a8", weight_bits=1, activation_bits=8, storage_bits=1),
        Scheme(name="w1.58a8", weight_bits=1.58, activation_bits=8, storage_bits=1.6),
        Scheme(name="w4a8", weight_bits=4, activation_bits=8, storage_bits=4),
        Scheme(name="w8a8", weight_bits=8, activation_bits=8, storage_bits=8),
        Scheme(name="w32a32", weight_bits=32, activation_bits=32, storage_bits=32),
    )
}

FULL_PRECISION = SCHEMES["w32a32"]


def scheme_named(name: str) -> Scheme:
    """The scheme of that name.

    Raises: ConfigError if there is none.
    """
    try:
        return SCHEMES[name]
    except (KeyError, TypeError):
        known = ", ".join(SCHEMES)
        raise ConfigError(f"A scheme must be one of {known}; got {name!r:.100}.") from None
