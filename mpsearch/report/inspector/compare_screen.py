"""Two trials compared on a screen of their own."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from mpsearch.report.inspector.compare_text import (
    alike,
    comparison_head,
    comparison_heading,
    comparison_rows,
    name_width,
)
from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.key_bar import Key, KeyBar
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.view_state import Scene

_KEYS = (
    Key("esc", "back", "screen.leave", 9),
    Key("s", "swap A and B", "screen.swap", 5),
    Key("d", "differing layers only", "screen.only_different", 6),
    Key("↑↓", "scroll", "screen.scroll(1)", 3),
)


class CompareScreen(Screen[None]):
    DEFAULT_CSS = """
    CompareScreen #head { height: auto; padding: 1 2 1 2; }
    CompareScreen #titles { height: 1; padding: 0 2; }
    CompareScreen #rows { height: 1fr; min-height: 4; padding: 0 2; scrollbar-size-vertical: 1; }
    CompareScreen #rows Static { height: auto; }
    CompareScreen > .whole { height: 1fr; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,c", "leave"),
        Binding("s", "swap"),
        Binding("d", "only_different"),
        Binding("down,j", "scroll(1)"),
        Binding("up,k", "scroll(-1)"),
        Binding("pagedown", "scroll(10)"),
        Binding("pageup", "scroll(-10)"),
    ]

    def __init__(self, scene: Scene, pair: tuple[int, int], costs: CostCache, palette: Palette) -> None:
        super().__init__()
        self._scene, self._pair, self._costs, self._palette = scene, pair, costs, palette
        self._only_different = False

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="whole", can_focus=False):
            yield Static(id="head", markup=False)
            yield Static(id="titles", markup=False)
            yield Static(id="rows", markup=False)
        yield KeyBar(_KEYS, self._palette)

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        scene, palette = self._scene, self._palette
        a, b = (scene.record_of[number] for number in self._pair)
        width = max(self.size.width - 5, 20)
        self.query_one("#head", Static).update(comparison_head(scene, a, b, palette, width=width))
        one, other = (self._costs.report(scene.run, record.policy) for record in (a, b))
        if one is None or other is None:
            self.query_one("#titles", Static).update(Text(self._costs.problem or "", palette.ink("loss")))
            return
        rows = comparison_rows(one, other, palette, width=width, only_different=self._only_different)
        titles = comparison_heading(
            palette, width=width, name_width=name_width(one, width), same=alike(one, other)
        )
        self.query_one("#titles", Static).update(titles)
        self.query_one("#rows", Static).update(Text("\n").join(rows))

    def action_swap(self) -> None:
        self._pair = (self._pair[1], self._pair[0])
        self._draw()

    def action_only_different(self) -> None:
        self._only_different = not self._only_different
        self._draw()

    def action_scroll(self, by: int) -> None:
        self.query_one(".whole", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_leave(self) -> None:
        self.dismiss(None)
