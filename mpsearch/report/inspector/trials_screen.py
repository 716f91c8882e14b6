"""All trials as a list, failed ones with their reasons; enter goes to one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Static

from mpsearch.report.inspector.change_text import range_text
from mpsearch.report.inspector.key_bar import Key, KeyBar
from mpsearch.report.inspector.layer_rows import strip_lines
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.plot_picture import kind_of, symbol_of
from mpsearch.report.inspector.view_state import Scene
from mpsearch.report.precision_strip import mark_cells
from mpsearch.report.units import UNKNOWN, bytes_text, counted, joules_text, percent_text, seconds_text
from mpsearch.search.trial_record import TrialRecord

ORDERS: dict[str, Callable[[TrialRecord], float]] = {
    "number": lambda record: record.number,
    "accuracy": lambda record: math.inf if math.isnan(record.accuracy) else -record.accuracy,
    "latency": lambda record: record.latency_s,
    "memory": lambda record: record.memory_bytes,
    "energy": lambda record: record.energy_j,
}
_STRIP = 24
_NARROW_STRIP = 10
_NARROW = 100
_KEYS = (
    Key("enter", "go to it", "screen.go", 8),
    Key("o", "order", "screen.order", 7),
    Key("esc", "back", "screen.leave", 9),
)


def listed(scene: Scene, order: str) -> list[TrialRecord]:
    """The trials that the filter keeps, in that order; equal ones by number."""
    kept = [record for record in scene.run.records if record.number in scene.shown]
    return sorted(kept, key=lambda record: (ORDERS[order](record), record.number))


class TrialsScreen(Screen[int]):
    """Ends in a trial's number, or in None where it was left."""

    DEFAULT_CSS = """
    TrialsScreen #title { height: 1; padding: 0 2; margin-top: 1; }
    TrialsScreen DataTable { height: 1fr; margin: 0 1; background: $background; scrollbar-size-vertical: 1; }
    TrialsScreen DataTable > .datatable--header { background: $background; color: $ink-dim;
                                                  text-style: none; }
    TrialsScreen DataTable > .datatable--odd-row { background: $background; }
    TrialsScreen DataTable > .datatable--even-row { background: $background; }
    TrialsScreen DataTable:focus > .datatable--cursor { background: $ink-accent 22%; color: $foreground; }
    TrialsScreen DataTable:ansi > .datatable--cursor { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,t", "leave"),
        Binding("o", "order"),
        Binding("home", "end(0)", priority=True, show=False),
        Binding("end", "end(-1)", priority=True, show=False),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    def __init__(self, scene: Scene, cursor: int | None, palette: Palette) -> None:
        super().__init__()
        self._scene, self._cursor, self._palette = scene, cursor, palette
        self._order = "number"

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield DataTable(cursor_type="row", show_row_labels=False, zebra_stripes=False, cell_padding=1)
        yield KeyBar(_KEYS, self._palette)

    def on_mount(self) -> None:
        self._fill()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    def _fill(self) -> None:
        scene, palette, table = self._scene, self._palette, self._table
        trials = listed(scene, self._order)
        shown = f"{counted(len(trials), 'trial')}, by {self._order}"
        self.query_one("#title", Static).update(
            Text.assemble((scene.run.name, palette.ink("text", "bold")), (f"  {shown}", palette.ink("dim")))
        )
        table.clear(columns=True)
        is_narrow = self.app.size.width < _NARROW
        titles = ["", "trial", "precision", "accuracy", "spread", "latency", "memory", "energy", ""]
        for title in titles[:7] + titles[8:] if is_narrow else titles:
            table.add_column(title)
        for record in trials:
            cells = self._cells(record, _NARROW_STRIP if is_narrow else _STRIP)
            table.add_row(*(cells[:7] + cells[8:] if is_narrow else cells), key=str(record.number))
        numbers = [record.number for record in trials]
        if self._cursor in numbers:
            table.move_cursor(row=numbers.index(self._cursor), animate=False)

    def _cells(self, record: TrialRecord, strip: int) -> list[Text]:
        palette, run = self._palette, self._scene.run
        ink, dim = palette.ink("text"), palette.ink("dim")
        schemes = [record.policy[layer] for layer in run.layers]
        mark = "" if record.policy.width is None else f"{record.policy.width:g}x "
        note = record.failure or kind_of(self._scene, record.number)

        def right(text: str, style: str, width: int) -> Text:
            return Text(f"{text:>{width}}", style)

        return [
            Text(*symbol_of(self._scene, record.number, palette)),
            right(str(record.number), ink, 5),
            Text(f"{mark:>{mark_cells(record.policy)}}", palette.ink("accent"), no_wrap=True).append_text(
                strip_lines(schemes, palette, width=strip, most=1)[0]
            ),
            right(percent_text(record.accuracy) if record.is_complete else UNKNOWN, ink, 8),
            right(range_text(*run.interval(record)), dim, 9),
            right(seconds_text(record.latency_s), ink, 8),
            right(bytes_text(record.memory_bytes), ink, 8),
            right(joules_text(record.energy_j), dim, 8),
            Text(note, palette.ink("loss") if record.failure else dim),
        ]

    @on(DataTable.RowHighlighted)
    def _follow(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key.value is not None:
            self._cursor = int(event.row_key.value)

    @on(DataTable.RowSelected)
    def action_go(self) -> None:
        self.dismiss(self._cursor)

    def action_order(self) -> None:
        orders = list(ORDERS)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self._fill()

    def action_end(self, place: int) -> None:
        self._table.move_cursor(row=0 if place == 0 else self._table.row_count - 1, animate=False)

    def action_down(self) -> None:
        self._table.action_cursor_down()

    def action_up(self) -> None:
        self._table.action_cursor_up()

    def action_leave(self) -> None:
        self.dismiss(None)
