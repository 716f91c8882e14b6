"""Which scheme each layer of a model takes, and how wide the model is where that is a choice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mpsearch.errors import ConfigError, FormatError
from mpsearch.precision.scheme import FULL_PRECISION, SCHEMES, Scheme, scheme_named

POLICY_SCHEMA = 1


def is_width(value: Any) -> bool:
    """Whether a value can be a width: a finite number above 0."""
    return type(value) in (int, float) and 0 < value < math.inf


class PrecisionPolicy(Mapping[str, Scheme]):
    """Layer name -> scheme, immutable, hashable; the order of the layers does not matter to equality.

    `width`: which of the widths of its space the model has; None in a space that names none.

    Raises: ConfigError if a scheme is unknown or no layer is named.
    """

    __slots__ = ("_hash", "_schemes", "width")

    def __init__(self, schemes: Mapping[str, Scheme | str], *, width: float | None = None) -> None:
        if not schemes:
            raise ConfigError("A policy must name at least one layer; got none.")
        self._schemes = {
            name: scheme if isinstance(scheme, Scheme) else scheme_named(scheme)
            for name, scheme in schemes.items()
        }
        self.width = width
        self._hash = hash((frozenset(self._schemes.items()), width))

    @classmethod
    def uniform(cls, layers: Iterator[str] | list[str] | tuple[str, ...], scheme: Scheme) -> PrecisionPolicy:
        return cls(dict.fromkeys(layers, scheme))

    def at_width(self, width: float | None) -> PrecisionPolicy:
        """The same schemes in the model of another width."""
        return self if width == self.width else PrecisionPolicy(self._schemes, width=width)

    def __getitem__(self, layer: str) -> Scheme:
        try:
            return self._schemes[layer]
        except KeyError:
            raise KeyError(f"The policy has no layer {layer!r}; it has {', '.join(self._schemes)}.") from None

    def __contains__(self, layer: object) -> bool:
        return layer in self._schemes

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemes)

    def __len__(self) -> int:
        return len(self._schemes)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrecisionPolicy):
            return NotImplemented
        return self._schemes == other._schemes and self.width == other.width

    def __repr__(self) -> str:
        wide = "" if self.width is None else f", width={self.width!r}"
        return f"PrecisionPolicy({self.names()!r}{wide})"

    @property
    def is_full_precision(self) -> bool:
        return all(scheme == FULL_PRECISION for scheme in self.values())

    @property
    def uniform_scheme(self) -> Scheme | None:
        """The scheme of every layer, or None where they differ."""
        first = next(iter(self.values()))
        return first if all(scheme == first for scheme in self.values()) else None

    @property
    def summary(self) -> str:
        """`all-w1a1`, or how many layers take which scheme: `3 w1a1 + 2 w8a8`; `width 2: all-w1a1`."""
        wide = "" if self.width is None else f"width {self.width:g}: "
        uniform = self.uniform_scheme
        if uniform is not None:
            return f"{wide}all-{uniform.name}"
        return wide + " + ".join(f"{count} {scheme.name}" for scheme, count in self.counts().items())

    @property
    def key(self) -> str:
        """Sixteen hex digits that name this policy, the same in every process."""
        text = json.dumps(dict(sorted(self.names().items())), separators=(",", ":"))
        if self.width is not None:
            text += f" width {self.width:g}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def names(self) -> dict[str, str]:
        """Layer name -> scheme name, for JSON."""
        return {layer: scheme.name for layer, scheme in self._schemes.items()}

    def counts(self) -> dict[Scheme, int]:
        """Scheme -> number of layers that take it, lowest precision first, none of them 0."""
        taken = list(self.values())
        return {scheme: taken.count(scheme) for scheme in SCHEMES.values() if scheme in taken}

    @classmethod
    def from_names(cls, names: Any, width: Any = None) -> PrecisionPolicy:
        """The inverse of `names`, for text that was read from a file.

        Raises: FormatError if it is not an object of layer names to scheme names, or the width is none.
        """
        if width is not None and not is_width(width):
            raise FormatError(f"The width of a policy must be a number above 0; got {width!r:.80}.")
        if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
            raise FormatError(
                f"A policy must be an object of layer names to scheme names; got {names!r:.200}."
            )
        try:
            return cls(names, width=width)
        except ConfigError as error:
            raise FormatError(str(error)) from error
