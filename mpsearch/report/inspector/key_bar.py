"""The line at the bottom that names the keys; each can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from mpsearch.report.inspector.palette import Palette

_GAP = 2


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as the user knows them; `action` is what a click runs; the least `importance` goes first."""

    keys: str
    does: str
    action: str
    importance: int


def key_line(keys: Sequence[Key], palette: Palette, width: int) -> Text:
    """As many keys as fit, in the order given, the most important kept."""
    kept = list(keys)
    while kept and sum(len(k.keys) + 1 + len(k.does) for k in kept) + _GAP * (len(kept) - 1) > width:
        kept.remove(min(kept, key=lambda key: key.importance))
    line = Text(no_wrap=True)
    for key in kept:
        if line:
            line.append(" " * _GAP)
        start = len(line)
        line.append(key.keys, palette.ink("accent", "bold"))
        line.append(f" {key.does}", palette.ink("dim"))
        line.apply_meta({"@click": key.action}, start, len(line))
    return line


class KeyBar(Static):
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; padding: 0 1; background: $surface; }
    """
    auto_links = False  # the keys keep their own colours

    def __init__(self, keys: Sequence[Key], palette: Palette) -> None:
        super().__init__()
        self._keys, self._palette = tuple(keys), palette

    def on_resize(self) -> None:
        self.show(self._palette)

    def show(self, palette: Palette) -> None:
        self._palette = palette
        self.update(key_line(self._keys, palette, self.content_size.width), layout=False)
