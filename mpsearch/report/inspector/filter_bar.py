"""The line where a filter is typed; what it keeps is shown while it is typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Label, Static

from mpsearch.errors import ConfigError
from mpsearch.search.trial_filter import TrialFilter

_EXAMPLE = "latency<300us and accuracy>0.9   fc=w8a8   front   not uniform"


@dataclass(frozen=True, slots=True)
class FilterState:
    """The text of a filter, what it means, and why it means nothing: one of the last two, or neither."""

    text: str = ""
    kept: TrialFilter | None = None
    problem: str = ""


def filter_state(
    text: str, layers: tuple[str, ...], before: FilterState, devices: tuple[str, ...] = ()
) -> FilterState:
    """Of a text just typed. While it is no filter, what was kept before stays."""
    if not text.strip():
        return FilterState()
    try:
        return FilterState(text=text, kept=TrialFilter.parse(text, layers, devices))
    except ConfigError as error:
        return FilterState(text=text, kept=before.kept, problem=str(error))


class FilterBar(Vertical):
    DEFAULT_CSS = """
    FilterBar { height: auto; display: none; background: $surface; padding: 0 1; }
    FilterBar.-open { display: block; }
    FilterBar Horizontal { height: 1; }
    FilterBar Label { color: $ink-accent; text-style: bold; width: auto; padding-right: 1; }
    FilterBar Input { border: none; height: 1; width: 1fr; padding: 0; background: $surface; }
    FilterBar Input:focus { border: none; background: $surface; background-tint: $ink-accent 0%; }
    FilterBar Static { height: auto; max-height: 5; color: $ink-dim; }
    FilterBar Static.-problem { color: $ink-loss; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    @dataclass
    class Typed(Message):
        text: str

    @dataclass
    class Closed(Message):
        """`is_kept`: enter; else what was there before the bar opened comes back."""

        is_kept: bool

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)
        with Horizontal():
            yield Label("filter")
            yield Input(placeholder=_EXAMPLE, select_on_focus=False)

    def open(self, text: str) -> None:
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        self.add_class("-open")
        field.focus()

    def say(self, text: str, *, is_problem: bool) -> None:
        static = self.query_one(Static)
        static.set_class(is_problem, "-problem")
        static.update(text)

    def close(self) -> None:
        self.remove_class("-open")
        self.screen.set_focus(None)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Closed(is_kept=True))

    def action_leave(self) -> None:
        self.post_message(self.Closed(is_kept=False))
