"""The side panel: one trial's figures, and its layers below in a list that scrolls."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.layer_rows import LayerSort, layer_heading, layer_rows
from mpsearch.report.inspector.palette import DARK, Palette
from mpsearch.report.inspector.policy_text import empty_text, panel_text
from mpsearch.report.inspector.view_state import Scene

_TALL = 34  # rows from which the strip of layers may take several lines


class PolicyPanel(Vertical):
    DEFAULT_CSS = """
    PolicyPanel { width: 36; height: 1fr; border-left: solid $ink-border; padding: 0 0 0 1; }
    PolicyPanel #facts { height: auto; }
    PolicyPanel #titles { height: 2; padding-top: 1; }
    PolicyPanel #layers { height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    PolicyPanel #layers Static { height: auto; }
    """

    def __init__(self, costs: CostCache) -> None:
        super().__init__()
        self._costs = costs
        self._scene: Scene | None = None
        self._palette: Palette = DARK
        self._cursor: int | None = None
        self._marks: tuple[int, ...] = ()
        self._sort: LayerSort = "call order"
        self._layers_key: object = None

    def compose(self) -> ComposeResult:
        yield Static(id="facts", markup=False)
        yield Static(id="titles", markup=False)
        with VerticalScroll(id="layers", can_focus=False):
            yield Static(id="rows", markup=False)

    def on_resize(self) -> None:
        self._draw()

    def show(
        self, scene: Scene, palette: Palette, *, cursor: int | None, marks: tuple[int, ...], sort: LayerSort
    ) -> None:
        self._scene, self._palette, self._cursor, self._marks, self._sort = (
            scene,
            palette,
            cursor,
            marks,
            sort,
        )
        self._draw()

    def _draw(self) -> None:
        scene, palette = self._scene, self._palette
        width = self.content_size.width
        if scene is None or width < 1:
            return
        record = None if self._cursor is None else scene.record_of.get(self._cursor)
        facts = self.query_one("#facts", Static)
        if record is None:
            facts.update(empty_text(scene, palette))
            self._show_layers(Text(), Text(), key=None)
            return
        strip_height = 3 if self.size.height >= _TALL else 1
        facts.update(
            panel_text(scene, record, palette, width=width - 1, marks=self._marks, strip_height=strip_height)
        )
        report = self._costs.report(scene.run, record.policy)
        if report is None:
            self._show_layers(Text(), Text(self._costs.problem or "", palette.ink("loss")), key=None)
            return
        key = (record.policy, width, palette.name, self._sort, id(report))
        if key != self._layers_key:
            self._show_layers(
                layer_heading(report, palette, width=width - 1, sort=self._sort),
                Text("\n").join(layer_rows(report, palette, width=width - 1, sort=self._sort)),
                key=key,
            )

    def _show_layers(self, titles: Text, rows: Text, *, key: object) -> None:
        self._layers_key = key
        self.query_one("#titles", Static).update(titles)
        self.query_one("#rows", Static).update(rows)

    def scroll_layers(self, pages: int) -> None:
        layers = self.query_one("#layers", VerticalScroll)
        layers.scroll_relative(y=pages * max(layers.size.height - 1, 1), animate=False)
