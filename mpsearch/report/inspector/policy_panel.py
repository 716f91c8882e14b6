"""The side panel: one trial's figures, and its layers below in a list that scrolls."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.layer_list import LayerList
from mpsearch.report.inspector.layer_rows import LayerSort, LayerTable
from mpsearch.report.inspector.palette import DARK, Palette
from mpsearch.report.inspector.policy_text import Air, empty_text, panel_text
from mpsearch.report.inspector.view_state import Scene

_LOWEST = 18  # rows below which not even a heading is
_LOW = 26  # rows below which no row is spent on air
_TALL = 34  # rows from which the strip of layers may take several lines


class PolicyPanel(Vertical):
    DEFAULT_CSS = """
    PolicyPanel { width: 36; height: 1fr; border-left: solid $ink-border; padding: 0 0 0 1; }
    PolicyPanel #facts { height: auto; }
    PolicyPanel #titles { height: 2; padding-top: 1; }
    PolicyPanel.-airless #titles { height: 1; padding-top: 0; }
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
        self._lines = -1

    def compose(self) -> ComposeResult:
        yield Static(id="facts", markup=False)
        yield Static(id="titles", markup=False)
        yield LayerList()

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
            self._lines = -1
            self._show_layers(None, Text())
            return
        height = self.size.height
        air: Air = "none" if height < _LOWEST else "some" if height < _LOW else "all"
        self.set_class(air == "none", "-airless")
        strip_height = 3 if height >= _TALL else 1
        text = panel_text(
            scene, record, palette, width=width - 1, marks=self._marks, strip_height=strip_height, air=air
        )
        # Most steps change no line count: the screen need not be laid out anew for them.
        lines = -1 if record.failure else text.plain.count("\n")
        facts.update(text, layout=lines < 0 or lines != self._lines)
        self._lines = lines
        report = self._costs.report(scene.run, record.policy)
        if report is None:
            self._show_layers(None, Text(self._costs.problem or "", palette.ink("loss")))
            return
        key = (id(report), width, palette.name, self._sort)
        if key != self._layers_key:
            table = LayerTable(report, palette, width=width - 1, sort=self._sort)
            self._show_layers(table, Text(table.heading(), palette.ink("dim"), no_wrap=True))
            self._layers_key = key

    def _show_layers(self, table: LayerTable | None, titles: Text) -> None:
        self._layers_key = None
        self.query_one("#titles", Static).update(titles, layout=False)
        self.query_one(LayerList).show(table)

    def scroll_layers(self, pages: int) -> None:
        self.query_one(LayerList).page(pages)
