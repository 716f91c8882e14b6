"""How wide the model may be: the one argument of its task that a search may choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mpsearch.errors import ConfigError
from mpsearch.precision.policy import is_width

WIDTH_ARGUMENT = "width"
WIDTH_CHOICE = "task:width"  # its parameter in a study; layers are called by their own names
MOST_WIDTHS = 16  # each is a model to be trained at 32 bits, timed, and tried at every uniform scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """What the task's argument `argument` may be, ascending: a code of a policy is a place in `options`."""

    options: tuple[float, ...]
    argument: str = WIDTH_ARGUMENT

    @classmethod
    def of(cls, values: Iterable[Any], argument: str = WIDTH_ARGUMENT) -> Widths:
        """In whatever order they are given.

        Raises: ConfigError if they are not several different numbers above 0.
        """
        given = list(values)
        odd = [value for value in given if not is_width(value)]
        if odd:
            raise ConfigError(f"A width must be a number above 0; got {odd[0]!r:.80}.")
        if not 2 <= len(given) <= MOST_WIDTHS or len(set(given)) < len(given):
            raise ConfigError(
                f"`widths` must be 2 to {MOST_WIDTHS} different numbers; got {_listed(given)}. One width "
                f"alone is an argument of the task: `args: {{{argument}: 2}}`."
            )
        return cls(options=tuple(sorted(given)), argument=argument)

    @property
    def reference(self) -> float:
        """The width whose 32-bit model others are compared with: 1, or the greatest where 1 is not named."""
        return next((value for value in self.options if value == 1), self.options[-1])

    def to_dict(self) -> dict[str, Any]:
        """As a space file holds them."""
        return {"argument": self.argument, "values": list(self.options)}

    def __str__(self) -> str:
        return _listed(self.options)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
