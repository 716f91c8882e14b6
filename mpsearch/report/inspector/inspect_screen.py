"""The main screen: plot, side panel, and the lines around them; every key leads here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

from mpsearch.report.inspector.axes import following_axis, following_scale
from mpsearch.report.inspector.budget_dialog import BudgetDialog
from mpsearch.report.inspector.budget_drag import bound_of, is_floor, nudged, with_bound
from mpsearch.report.inspector.compare_screen import CompareScreen
from mpsearch.report.inspector.cost_cache import CostCache
from mpsearch.report.inspector.export_dialog import ExportDialog
from mpsearch.report.inspector.filter_bar import FilterBar, FilterState, filter_state
from mpsearch.report.inspector.front_plot import FrontPlot
from mpsearch.report.inspector.help_screen import HelpDialog
from mpsearch.report.inspector.key_bar import Key, KeyBar
from mpsearch.report.inspector.layer_rows import SORTS, LayerSort
from mpsearch.report.inspector.pick_dialog import PickDialog
from mpsearch.report.inspector.policy_panel import PolicyPanel
from mpsearch.report.inspector.run_watch import Sight
from mpsearch.report.inspector.spots import Direction, beside, stepped
from mpsearch.report.inspector.status_text import header_text, narrowing_text
from mpsearch.report.inspector.trials_screen import TrialsScreen
from mpsearch.report.inspector.view_state import (
    Scene,
    first_cursor,
    first_looks,
    marks_after,
    pair_to_compare,
    scene_of,
)
from mpsearch.search.budgets import Budgets
from mpsearch.search.run import Run

if TYPE_CHECKING:
    from mpsearch.report.inspector.app import InspectorApp

LEAST_SIZE = (60, 16)
_PANEL_SHARE, _LEAST_PANEL, _WIDEST_PANEL = 0.4, 36, 80
_KEYS = (
    Key("←→", "front", "screen.walk(1)", 9),
    Key("↑↓", "any", "screen.beside('up')", 5),
    Key("m", "mark", "screen.mark", 7),
    Key("c", "compare", "screen.compare", 7),
    Key("b", "budgets", "screen.budgets", 7),
    Key("/", "filter", "screen.filter", 7),
    Key("e", "export", "screen.export", 8),
    Key("x y", "axes", "screen.next_axis('x')", 4),
    Key("X Y", "log", "screen.next_scale('x')", 2),
    Key("g", "go to", "screen.pick", 2),
    Key("t", "trials", "screen.trials", 3),
    Key("o", "sort layers", "screen.sort_layers", 1),
    Key("?", "help", "screen.help", 10),
    Key("q", "quit", "app.quit", 9),
)


class InspectScreen(Screen[None]):
    """Holds what is looked at; the widgets draw what they are shown."""

    DEFAULT_CSS = """
    InspectScreen #header { height: 1; padding: 0 1; background: $surface; }
    InspectScreen #narrowing { height: 1; padding: 0 1; }
    InspectScreen #small { display: none; width: 100%; height: 100%; content-align: center middle;
                           text-align: center; }
    InspectScreen.-small #small { display: block; }
    InspectScreen.-small #body, InspectScreen.-small #header, InspectScreen.-small KeyBar,
    InspectScreen.-small #narrowing, InspectScreen.-small FilterBar { display: none; }
    InspectScreen #body { height: 1fr; }
    """
    AUTO_FOCUS = ""  # the keys belong to the screen until a filter is typed
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "walk(-1)"),
        Binding("right,l", "walk(1)"),
        Binding("shift+left,comma", "walk_all(-1)"),
        Binding("shift+right,full_stop", "walk_all(1)"),
        Binding("up,k", "beside('up')"),
        Binding("down,j", "beside('down')"),
        Binding("home", "end_of_front(0)"),
        Binding("end", "end_of_front(-1)"),
        Binding("pageup", "scroll_layers(-1)"),
        Binding("pagedown", "scroll_layers(1)"),
        Binding("x", "next_axis('x')"),
        Binding("y", "next_axis('y')"),
        Binding("X", "next_scale('x')"),
        Binding("Y", "next_scale('y')"),
        Binding("z", "zoom"),
        Binding("left_square_bracket", "nudge('x', -1)"),
        Binding("right_square_bracket", "nudge('x', 1)"),
        Binding("left_curly_bracket", "nudge('y', -1)"),
        Binding("right_curly_bracket", "nudge('y', 1)"),
        Binding("b", "budgets"),
        Binding("r", "own_budgets"),
        Binding("0", "no_budgets"),
        Binding("slash", "filter"),
        Binding("escape", "drop_filter"),
        Binding("m", "mark"),
        Binding("u", "drop_marks"),
        Binding("c", "compare"),
        Binding("e", "export"),
        Binding("g", "pick"),
        Binding("t", "trials"),
        Binding("o", "sort_layers"),
        Binding("question_mark", "help"),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.sight = Sight(run=None, is_searching=False, running=0)
        self.budgets: Budgets | None = None  # None: the run's own
        self.filter = FilterState()
        self._filter_before = FilterState()
        self.looks = first_looks(run)
        self.sort: LayerSort = "call order"
        self.marks: tuple[int, ...] = ()
        self.costs = CostCache()
        self.scene: Scene = self._new_scene()
        self.cursor: int | None = first_cursor(self.scene)

    @property
    def inspector(self) -> InspectorApp:
        return cast("InspectorApp", self.app)

    def compose(self) -> ComposeResult:
        yield Static(id="small", markup=False)
        yield Static(id="header", markup=False)
        with Horizontal(id="body"):
            yield FrontPlot(id="plot")
            yield PolicyPanel(self.costs)
        yield Static(id="narrowing", markup=False)
        yield FilterBar()
        yield KeyBar(_KEYS, self.inspector.palette)

    def on_mount(self) -> None:
        self.redraw()

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        is_small = width < LEAST_SIZE[0] or height < LEAST_SIZE[1]
        self.set_class(is_small, "-small")
        self.query_one("#small", Static).update(
            f"The inspector needs {LEAST_SIZE[0]} columns and {LEAST_SIZE[1]} rows;\n"
            f"this terminal has {width} and {height}.\nEnlarge it, or press q and use mpsearch pareto."
        )
        panel = min(max(int(width * _PANEL_SHARE), _LEAST_PANEL), _WIDEST_PANEL)
        self.query_one(PolicyPanel).styles.width = panel
        self.redraw()

    # -- what is looked at

    def _new_scene(self) -> Scene:
        budgets = self.run.budgets if self.budgets is None else self.budgets
        return scene_of(self.run, budgets, self.looks, kept=self.filter.kept)

    def refresh_scene(self) -> None:
        """After a change of the run, the axes, the budgets or the filter. The cursor stays on its trial."""
        self.scene = self._new_scene()
        self.marks = tuple(number for number in self.marks if number in self.scene.record_of)
        if self.cursor not in self.scene.record_of:
            self.cursor = first_cursor(self.scene)
        self.redraw()

    def redraw(self) -> None:
        palette = self.inspector.palette
        record = None if self.cursor is None else self.scene.record_of.get(self.cursor)
        interval = None if record is None or not record.is_complete else self.run.interval(record)
        if interval is not None and interval[0] != interval[0]:
            interval = None
        self.query_one(FrontPlot).show(
            self.scene, palette, cursor=self.cursor, marks=self.marks, interval=interval
        )
        self.query_one(PolicyPanel).show(
            self.scene, palette, cursor=self.cursor, marks=self.marks, sort=self.sort
        )
        self.query_one(KeyBar).show(palette)
        width = max(self.size.width - 2, 1)
        header = header_text(self.scene, self.sight, palette, width)
        self.query_one("#header", Static).update(header, layout=False)
        narrowing = narrowing_text(
            self.scene, self.filter, palette, width,
            is_own=self.budgets is not None, problem=self.sight.problem,
        )  # fmt: skip
        self.query_one("#narrowing", Static).update(narrowing, layout=False)

    def see(self, sight: Sight) -> None:
        """What a look at the run folder has found."""
        if sight.run is not None:
            self.run, self.sight = sight.run, sight
            self.refresh_scene()
        elif (sight.is_searching, sight.running, sight.problem) != (
            self.sight.is_searching,
            self.sight.running,
            self.sight.problem,
        ):
            self.sight = sight
            self.redraw()

    def go_to(self, number: int | None) -> None:
        if number is not None and number != self.cursor:
            self.cursor = number
            self.redraw()

    # -- moving

    def action_walk(self, by: int) -> None:
        self.go_to(
            stepped(self.scene.spots + self.scene.hidden_spots, self.scene.front_order, self.cursor, by)
        )

    def action_walk_all(self, by: int) -> None:
        self.go_to(stepped(self.scene.spots + self.scene.hidden_spots, self.scene.order, self.cursor, by))

    def action_beside(self, direction: Direction) -> None:
        if self.cursor is not None:
            spots = list(self.scene.spots)
            if self.cursor not in self.scene.shown and self.cursor in self.scene.spot_of:
                spots.append(self.scene.spot_of[self.cursor])
            aspect = self.query_one(FrontPlot).aspect
            self.go_to(beside(spots, self.cursor, direction, aspect=aspect))

    def action_end_of_front(self, place: int) -> None:
        if self.scene.front_order:
            self.go_to(self.scene.front_order[place])

    def action_scroll_layers(self, pages: int) -> None:
        self.query_one(PolicyPanel).scroll_layers(pages)

    def action_pick(self) -> None:
        self.app.push_screen(PickDialog(self.scene.run), self.go_to)

    def action_trials(self) -> None:
        self.app.push_screen(TrialsScreen(self.scene, self.cursor, self.inspector.palette), self.go_to)

    @on(FrontPlot.Picked)
    def _picked(self, event: FrontPlot.Picked) -> None:
        self.go_to(event.number)

    # -- axes and layers

    @on(FrontPlot.TitleClicked)
    def _title_clicked(self, event: FrontPlot.TitleClicked) -> None:
        self.action_next_axis(event.axis)

    def action_next_axis(self, axis: str) -> None:
        looks = self.looks
        if axis == "x":
            self.looks = replace(looks, x=following_axis(looks.x, looks.y, self.scene.run.quantities))
        else:
            self.looks = replace(looks, y=following_axis(looks.y, looks.x, self.scene.run.quantities))
        self.refresh_scene()

    def action_next_scale(self, axis: str) -> None:
        looks = self.looks
        if axis == "x":
            self.looks = replace(looks, x_scale=following_scale(looks.x_scale))
        else:
            self.looks = replace(looks, y_scale=following_scale(looks.y_scale))
        self.refresh_scene()
        name, scale = (
            (self.looks.x, self.looks.x_scale) if axis == "x" else (self.looks.y, self.looks.y_scale)
        )
        self.notify(f"{name}: {'automatic' if scale == 'auto' else scale} scale", timeout=2)

    def action_zoom(self) -> None:
        self.looks = replace(self.looks, is_near=not self.looks.is_near)
        self.refresh_scene()
        self.notify("near the front" if self.looks.is_near else "all trials", timeout=2)

    def action_sort_layers(self) -> None:
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.redraw()

    # -- budgets and filter

    def set_budgets(self, budgets: Budgets | None) -> None:
        self.budgets = None if budgets == self.run.budgets else budgets
        self.refresh_scene()

    def action_budgets(self) -> None:
        def applied(budgets: Budgets | None) -> None:
            if budgets is not None:
                self.set_budgets(budgets)

        self.app.push_screen(BudgetDialog(self.run, self.scene.run.budgets), applied)

    def action_own_budgets(self) -> None:
        self.set_budgets(None)

    def action_no_budgets(self) -> None:
        self.set_budgets(Budgets())

    @on(FrontPlot.BudgetMoved)
    def _budget_moved(self, event: FrontPlot.BudgetMoved) -> None:
        self.set_budgets(with_bound(self.scene.run.budgets, event.name, event.bound))

    def action_nudge(self, axis: str, by: int) -> None:
        looks, scene = self.looks, self.scene
        name, fitted = (looks.x, scene.x_axis) if axis == "x" else (looks.y, scene.y_axis)
        if fitted is not None:
            budgets = self.scene.run.budgets
            bound = bound_of(budgets, name)
            # Without a bound either key brings it in from where it bounds nothing.
            step = by if bound is not None else (1 if is_floor(name) else -1)
            self.set_budgets(with_bound(budgets, name, nudged(name, fitted, bound, by=step)))

    def action_filter(self) -> None:
        self._filter_before = self.filter
        self.query_one(FilterBar).open(self.filter.text)
        self._say_filter()

    def action_drop_filter(self) -> None:
        if self.filter != FilterState():
            self._set_filter(FilterState())

    @on(FilterBar.Typed)
    def _filter_typed(self, event: FilterBar.Typed) -> None:
        layers = self.run.layers
        self._set_filter(filter_state(event.text, layers, self.filter, self.scene.run.devices))

    @on(FilterBar.Closed)
    def _filter_closed(self, event: FilterBar.Closed) -> None:
        if event.is_kept and self.filter.problem:
            self.app.bell()
            return
        self.query_one(FilterBar).close()
        if not event.is_kept:
            self._set_filter(self._filter_before)

    def _set_filter(self, state: FilterState) -> None:
        is_same = state.kept == self.filter.kept
        self.filter = state
        if is_same:
            self.redraw()
        else:
            self.refresh_scene()
        self._say_filter()

    def _say_filter(self) -> None:
        bar, kept = self.query_one(FilterBar), self.filter
        shown = f"{len(self.scene.shown)} of {len(self.run.records)} trials · enter keeps · esc takes back"
        bar.say(kept.problem or shown, is_problem=bool(kept.problem))

    # -- marks, comparison, export, help

    def action_mark(self) -> None:
        if self.cursor is not None:
            self.marks = marks_after(self.marks, self.cursor)
            self.redraw()

    def action_drop_marks(self) -> None:
        self.marks = ()
        self.redraw()

    def action_compare(self) -> None:
        pair = pair_to_compare(self.marks, self.cursor)
        if pair is None:
            self.notify("Mark two trials with m, or mark one and move to another.", timeout=4)
            return
        self.app.push_screen(CompareScreen(self.scene, pair, self.costs, self.inspector.palette))

    def action_export(self) -> None:
        record = None if self.cursor is None else self.scene.record_of.get(self.cursor)
        if record is None or not record.is_complete:
            self.notify("Only a trial that has ended well can be exported.", severity="warning", timeout=4)
            return
        self.app.push_screen(ExportDialog(self.run, record, self.inspector.start_export))

    def action_help(self) -> None:
        self.app.push_screen(HelpDialog(self.inspector.palette))
