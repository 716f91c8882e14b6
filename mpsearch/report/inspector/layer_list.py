"""The layers of a policy as a list that scrolls; only the rows in sight are drawn."""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from mpsearch.report.inspector.cells import strip_of
from mpsearch.report.inspector.layer_rows import LayerTable


class LayerList(ScrollView, can_focus=False):
    DEFAULT_CSS = """
    LayerList { height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden; }
    """
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._table: LayerTable | None = None

    def show(self, table: LayerTable | None) -> None:
        """The place of the list stays: along the front the same layers stay in sight."""
        self._table = table
        self.virtual_size = Size(0, 0 if table is None else len(table))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        place = y + self.scroll_offset.y
        base = self.visual_style.rich_style
        if self._table is None or place >= len(self._table):
            return Strip.blank(self.size.width, base)
        row = strip_of(self._table.row(place))
        return row.adjust_cell_length(self.size.width, base).apply_style(base)

    def page(self, pages: int) -> None:
        """Scroll by as many screens of it."""
        self.scroll_relative(y=pages * max(self.size.height - 1, 1), animate=False)
