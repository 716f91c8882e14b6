"""HTML and SVG written so that no text can become markup: a plain string is escaped, always."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "meta", "input"})


class Markup(str):
    """Text that is markup already. Only this module and files of the package make it."""

    __slots__ = ()


Child = str | Iterable[Markup] | None


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """`<tag name="value">children</tag>`; None and False are left out, True is a bare attribute.

    A trailing underscore of a name falls (`class_`), others become hyphens (`aria_label`).
    """
    pairs = []
    for name, value in attributes.items():
        written = name.rstrip("_").replace("_", "-")
        if value is True:
            pairs.append(f" {written}")
        elif value is not None and value is not False:
            pairs.append(f' {written}="{escape(str(value))}"')
    opening = f"<{tag}{''.join(pairs)}>"
    return Markup(opening) if tag in _VOID else Markup(f"{opening}{joined(*children)}</{tag}>")


def joined(*children: Child) -> Markup:
    """The children in turn, escaped where they are not markup."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        elif child is not None:
            parts.extend(child)
    return Markup("".join(parts))
