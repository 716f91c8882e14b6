"""Rules that several settings of a recipe keep to; each error names its setting."""

from __future__ import annotations

from itertools import pairwise

from mpsearch.errors import ConfigError

MOST_FIDELITIES = 10


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def rising_shares(fidelities: object) -> tuple[float, ...]:
    """Raises: ConfigError unless they rise to 1."""
    shares = tuple(fidelities) if isinstance(fidelities, (tuple, list)) else ()
    is_rising = (
        0 < len(shares) <= MOST_FIDELITIES
        and all(is_number(share) and 0 <= share <= 1 for share in shares)
        and all(low < high for low, high in pairwise(shares))
        and shares[-1] == 1
    )
    if not is_rising:
        raise ConfigError(
            f"`fidelities` must be at most {MOST_FIDELITIES} shares of the steps that rise to 1, such as "
            f"[0, 0.1, 1]; got {fidelities!r:.100}."
        )
    return shares


def at_least(recipe: object, least: int, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")


def positive(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not is_number(value) or not 0 < value < float("inf"):  # also rejects NaN
            raise ConfigError(f"`{name}` must be a number above 0; got {value!r}.")


def not_negative(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not is_number(value) or not 0 <= value < float("inf"):
            raise ConfigError(f"`{name}` must be a number of at least 0; got {value!r}.")


def fraction(recipe: object, *names: str) -> None:
    """From 0 up to, not including, 1."""
    for name in names:
        value = getattr(recipe, name)
        if not is_number(value) or not 0 <= value < 1:
            raise ConfigError(f"`{name}` must be a number from 0 up to, not including, 1; got {value!r}.")


def up_to_one(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not is_number(value) or not 0 <= value <= 1:
            raise ConfigError(f"`{name}` must be a number from 0 to 1; got {value!r}.")


def true_or_false(recipe: object, *names: str) -> None:
    for name in names:
        value = getattr(recipe, name)
        if not isinstance(value, bool):
            raise ConfigError(f"`{name}` must be true or false; got {value!r}.")
