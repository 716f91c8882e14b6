"""What all dialogs of the inspector share: a box in the middle, escape to leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """`title` is written into the border."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog:ansi { background: ansi_default; }
    Dialog > .box {
        width: 64; max-width: 100%; height: auto; max-height: 100%; padding: 1 2;
        border: round $ink-border; background: $surface;
        border-title-color: $ink-accent; border-title-style: bold; border-subtitle-color: $ink-dim;
    }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $background; }
    Dialog Input:ansi { text-style: underline; }
    Dialog Input:focus { border: none; background: $background; background-tint: $ink-accent 14%; }
    Dialog .problem { color: $ink-loss; height: auto; }
    Dialog .hint { color: $ink-dim; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False)]

    @contextmanager
    def box(self, title: str, subtitle: str = "") -> Iterator[None]:
        """Where `compose` puts its widgets."""
        box = VerticalScroll(classes="box", can_focus=False)
        box.border_title, box.border_subtitle = title, subtitle
        with box:
            yield

    def action_leave(self) -> None:
        self.dismiss(None)


class Problem(Static):
    """A typed error, shown where it was made; empty while there is none."""

    def __init__(self) -> None:
        super().__init__("", classes="problem", markup=False)

    def say(self, text: str) -> None:
        self.update(text)
