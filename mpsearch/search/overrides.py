"""What the user decides over single layers, whatever the search would find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.precision.scheme import SCHEMES, Scheme, scheme_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One rule: the layers that `pattern` (a name or a glob) matches take the scheme, or never take them."""

    kind: Literal["pin", "forbid"]
    pattern: str
    schemes: tuple[Scheme, ...]

    def matches(self, layer: str) -> bool:
        return _matches(layer, self.pattern)

    def permits(self, scheme: Scheme) -> bool:
        return (scheme in self.schemes) == (self.kind == "pin")

    def __str__(self) -> str:
        return f"{self.kind} {self.pattern}={','.join(scheme.name for scheme in self.schemes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Pins and prohibitions by layer name or glob; all of them must hold.

    Like budgets they narrow what is proposed and judge what was found, and may change from call to call; the
    space, its reference point and its greatest costs stay what they are.
    """

    pins: Mapping[str, Scheme] = field(default_factory=dict)
    forbidden: Mapping[str, tuple[Scheme, ...]] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        pins: Mapping[str, Any] | Iterable[str] | None = None,
        forbid: Mapping[str, Any] | Iterable[str] | None = None,
    ) -> Overrides:
        """From `{"fc": "w8a8"}` and `{"conv1": ["w1a1"]}`, or `["fc=w8a8"]` and `["conv1=w1a1,w1a8"]`.

        Raises: ConfigError if one is not of that form, a scheme is unknown, or a name is pinned to two.
        """
        pinned: dict[str, Scheme] = {}
        for name, value in _pairs(pins, "pin", "fc=w8a8"):
            schemes = _schemes(name, value, "pin", "fc=w8a8")
            if len(schemes) > 1 or pinned.get(name, schemes[0]) != schemes[0]:
                named = sorted({*schemes, *([pinned[name]] if name in pinned else [])}, key=_order)
                raise ConfigError(
                    f"A layer can be pinned to one scheme; {name!r} is pinned to {_names(named)}. To leave "
                    "a choice, forbid the others."
                )
            pinned[name] = schemes[0]
        forbidden: dict[str, tuple[Scheme, ...]] = {}
        for name, value in _pairs(forbid, "forbid", "conv1=w1a1,w1a8"):
            schemes = _schemes(name, value, "forbid", "conv1=w1a1,w1a8")
            forbidden[name] = tuple(sorted({*forbidden.get(name, ()), *schemes}, key=_order))
        return cls(pins=pinned, forbidden=forbidden)

    @property
    def rules(self) -> tuple[Override, ...]:
        """Pins first."""
        return (
            *(Override(kind="pin", pattern=name, schemes=(scheme,)) for name, scheme in self.pins.items()),
            *(Override(kind="forbid", pattern=name, schemes=s) for name, s in self.forbidden.items()),
        )

    def __bool__(self) -> bool:
        return bool(self.pins or self.forbidden)

    def permits(self, layer: str, scheme: Scheme) -> bool:
        return all(rule.permits(scheme) for rule in self.rules if rule.matches(layer))

    def broken_by(self, policy: PrecisionPolicy) -> tuple[str, ...]:
        """The layers whose scheme is not permitted."""
        if not self:
            return ()
        rules = self.rules
        return tuple(
            layer
            for layer, scheme in policy.items()
            if not all(rule.permits(scheme) for rule in rules if rule.matches(layer))
        )

    def allows(self, policy: PrecisionPolicy) -> bool:
        return not self.broken_by(policy)

    def joined(self, later: Overrides) -> Overrides:
        """Both; a later pin replaces that of the same name, prohibitions add up."""
        both = {
            name: tuple(sorted({*self.forbidden.get(name, ()), *later.forbidden.get(name, ())}, key=_order))
            for name in (*self.forbidden, *later.forbidden)
        }
        return Overrides(pins={**self.pins, **later.pins}, forbidden=both)

    def without(self, patterns: Iterable[str]) -> Overrides:
        """Less the rules whose own name is, or is matched by, one of `patterns`.

        Raises: ConfigError if one that stays still holds what was to be freed.
        """
        lifted = tuple(patterns)

        def stays(name: str) -> bool:
            return not any(_matches(name, pattern) for pattern in lifted)

        kept = Overrides(
            pins={name: scheme for name, scheme in self.pins.items() if stays(name)},
            forbidden={name: schemes for name, schemes in self.forbidden.items() if stays(name)},
        )
        for pattern in lifted:
            still = next((rule for rule in kept.rules if rule.matches(pattern)), None)
            if still is not None:
                raise ConfigError(
                    f"Overrides are lifted by the names that they were given; {pattern!r} is under "
                    f"`{still}`. Free {still.pattern!r}, and override its other layers by their own names."
                )
        return kept

    def texts(self) -> dict[str, dict[str, Any]]:
        """`pin` and `forbid` as a space file holds them: the inverse of `parse`."""
        return {
            "pin": {name: scheme.name for name, scheme in self.pins.items()},
            "forbid": {name: [s.name for s in schemes] for name, schemes in self.forbidden.items()},
        }

    def __str__(self) -> str:
        texts = [
            *(f"{name} pinned to {scheme.name}" for name, scheme in self.pins.items()),
            *(f"{name} without {_names(schemes)}" for name, schemes in self.forbidden.items()),
        ]
        return "; ".join(texts) or "none"


@lru_cache(maxsize=1 << 14)  # a view judges every layer of every trial each time that a budget moves
def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _pairs(given: Mapping[str, Any] | Iterable[str] | None, kind: str, example: str) -> list[tuple[str, Any]]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        return [(str(name), value) for name, value in given.items()]
    pairs = []
    for text in [given] if isinstance(given, str) else given:
        name, found, value = str(text).rpartition("=")
        if not found or not name.strip():
            raise ConfigError(
                f"`{kind}` must be a layer or a glob, =, and a scheme, such as {example}; got {text!r}."
            )
        pairs.append((name.strip(), value))
    return pairs


def _schemes(name: str, value: Any, kind: str, example: str) -> list[Scheme]:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        listed = [parts] if isinstance(parts, Scheme) else list(parts)
    except TypeError:
        listed = [parts]  # told below: no scheme has that name
    if not listed:
        raise ConfigError(f"`{kind}` must name a scheme, such as {example}; got none for {name!r}.")
    return [
        part if isinstance(part, Scheme) else scheme_named(part.strip() if isinstance(part, str) else part)
        for part in listed
    ]


def _order(scheme: Scheme) -> int:
    return list(SCHEMES.values()).index(scheme)


def _names(schemes: Iterable[Scheme]) -> str:
    return ", ".join(scheme.name for scheme in schemes)
