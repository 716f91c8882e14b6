"""What overrides leave of a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.overrides import Override, Overrides
from mpsearch.search.resolve import Choice, ResolvedSpace

_SHOWN_LAYERS = 12


def narrowed(resolved: ResolvedSpace, overrides: Overrides) -> ResolvedSpace:
    """The policies of a space that the overrides allow. Layers of a group stay together.

    Its choices are those of the space, with fewer schemes; one that has a single scheme left is a pin.

    Raises: ConfigError if an override matches no layer, or they leave a layer nothing.
    """
    for rule in overrides.rules:
        require_layer(rule.pattern, resolved, f"`{rule}`")
    choices: list[Choice] = []
    pinned = dict(resolved.pinned)
    for layer, scheme in resolved.pinned.items():
        _left((layer,), (scheme,), overrides)
    for choice in resolved.choices:
        left = _left(choice.layers, choice.schemes, overrides)
        if len(left) == 1:
            pinned |= dict.fromkeys(choice.layers, left[0])
        else:
            choices.append(Choice(name=choice.name, layers=choice.layers, schemes=left))
    return replace(resolved, choices=tuple(choices), pinned=pinned)


def remarks(resolved: ResolvedSpace, overrides: Overrides) -> tuple[str, ...]:
    """What a user may not expect: an override that reaches further than its layers, or changes nothing."""
    said = []
    schemes = resolved.schemes
    for rule in overrides.rules:
        matched = [layer for layer in resolved.layers if rule.matches(layer)]
        for choice in resolved.choices:
            meant = [layer for layer in choice.layers if layer in matched]
            others = [layer for layer in choice.layers if layer not in matched]
            if meant and others and not all(rule.permits(scheme) for scheme in choice.schemes):
                said.append(
                    f"{_listed(meant)} {'shares' if len(meant) == 1 else 'share'} one scheme with "
                    f"{_listed(others)}: `{rule}` holds for all of them."
                )
        if all(rule.permits(scheme) for layer in matched for scheme in schemes[layer]):
            why = "nothing else" if rule.kind == "pin" else "nothing of it"
            said.append(f"`{rule}` changes nothing: the space allows {_listed(matched)} {why}.")
    return tuple(said)


def require_layer(pattern: str, resolved: ResolvedSpace, what: str) -> None:
    """Raises: ConfigError if no layer has that name or is matched by that glob."""
    asked = Override(kind="forbid", pattern=pattern, schemes=())
    if not any(asked.matches(layer) for layer in resolved.layers):
        raise ConfigError(
            f"An override must name a layer, or a glob that matches one; {what} matches none."
            f"{did_you_mean(pattern, resolved.layers)} The model has {_listed(resolved.layers)}."
        )


def _left(layers: tuple[str, ...], schemes: tuple[Scheme, ...], overrides: Overrides) -> tuple[Scheme, ...]:
    """What layers that take one scheme of `schemes` together may still take."""
    left = tuple(s for s in schemes if all(overrides.permits(layer, s) for layer in layers))
    if not left:
        rules = [rule for rule in overrides.rules if any(rule.matches(layer) for layer in layers)]
        together = "" if len(layers) == 1 else ", which share one scheme,"
        given = " and ".join(f"`{rule}`" for rule in rules)
        raise ConfigError(
            f"Overrides must leave each layer a scheme; {given} {'leaves' if len(rules) == 1 else 'leave'} "
            f"none for {_listed(layers)}{together} where the space allows "
            f"{', '.join(scheme.name for scheme in schemes)}. Change one, or lift it (--free)."
        )
    return left


def _listed(layers: Sequence[str]) -> str:
    rest = len(layers) - _SHOWN_LAYERS
    return ", ".join(layers[:_SHOWN_LAYERS]) + (f" and {rest} more" if rest > 0 else "")
