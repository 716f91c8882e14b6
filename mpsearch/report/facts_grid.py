"""Labelled lines of text that wrap under themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_LEAST_TEXT = 20


@dataclass(frozen=True, slots=True)
class FactsGrid:
    """One line a fact: a dim label, then its text, wrapped under its own beginning.

    Without any label it is a paragraph a fact.
    """

    facts: Sequence[tuple[str, Text | str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        longest = max((cell_len(label) for label, _ in self.facts), default=0)
        indent = longest + 2 if longest else 0
        width = max(options.max_width - indent, _LEAST_TEXT)
        for label, fact in self.facts:
            text = fact if isinstance(fact, Text) else Text(fact)
            for number, line in enumerate(text.wrap(console, width)):
                line.rstrip()
                yield Text.assemble((label.ljust(indent) if not number else " " * indent, "dim"), line)


def paragraph(*parts: str | tuple[str, str]) -> FactsGrid:
    """Pieces of text, each plain or with its style, wrapped without spaces at the ends of lines."""
    return FactsGrid([("", Text.assemble(*parts))])
