"""The live view's layout: which parts a terminal of some size shows, and where."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import RLock

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from mpsearch.report.live_plots import LEAST_HEIGHT, LEAST_WIDTH, FrontPlot, curve_lines
from mpsearch.report.live_rows import (
    LABEL,
    bar_row,
    best_row,
    budget_rows,
    failures_row,
    growth_from,
    hypervolume_row,
    knee_row,
    note_of,
    pace_row,
    running_row,
    stage_list,
    stages_row,
    trial_row,
)
from mpsearch.report.live_screen import Row
from mpsearch.report.precision_strip import precision_legend
from mpsearch.report.search_state import RunningTrial, SearchState

_HIGHEST = 60  # rows; a plot higher than that is none the better
_TWO_COLUMNS = (100, 20)
_LEFT = (48, 74)  # cells of the left column, least and most
_LEFT_SHARE = 0.45
_PLOT_BELOW = 10  # rows of the plots below the front, with their frame
_LEAST_FRONT = 16  # rows that the front keeps before it shares its column
_LABEL = 12
_ROOM_FOR_RECENT = 36  # rows of one column from which on the last trials are listed below the plot
_BORDER = "bright_black"

# In a terminal without Unicode, letter for letter: what is aligned stays so.
_ASCII = str.maketrans(
    {"µ": "u", "×": "x", "–": "-", "…": ".", "·": ".", "≈": "~", "≤": "<", "≥": ">", "—": "-", "±": "~"}
)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of the layout. `rank`: the lower, the longer it stays when room gets scarce.

    `key`: the rows are built anew when it changes.
    """

    rank: int
    height: int
    lines: Callable[[int, int], Sequence[Text]]  # of width, height
    key: Hashable
    label: str | None = None
    least: int = 1


@dataclass(eq=False)
class LivePanel:
    """Draws a search's state into any number of columns and rows.

    One column of labelled rows above the plot; from 100 columns and 20 rows on, boxes with the plot beside
    them. What is shown where depends on the terminal's size, the workers and the budgets alone, so that
    nothing moves while trials come in. A part is built when what it shows has changed, so that a frame costs
    the training next to nothing.
    """

    state: SearchState
    lock: RLock
    console: Console
    _front: FrontPlot = field(default_factory=FrontPlot)
    _kept: dict[str, tuple[Hashable, list[Row]]] = field(default_factory=dict)
    _is_ascii: bool = False

    def rows(self, width: int, height: int) -> list[Row]:
        """`height` rows, but no more than `_HIGHEST`, of at most `width` cells."""
        self._is_ascii = self.console.options.ascii_only
        height = min(height, _HIGHEST)
        with self.lock:
            if width >= _TWO_COLUMNS[0] and height >= _TWO_COLUMNS[1]:
                return self._two_columns(width, height)
            rows = self._one_column(width, height)
        # Also while there is less to say: a view that grows would push all above it up.
        return rows + [()] * (height - len(rows))

    @property
    def _trials_key(self) -> Hashable:
        return self.state.changes, self.state.new()

    @property
    def _second_key(self) -> Hashable:
        return self._trials_key, int(self.state.elapsed_s), self.state.stage_progress

    @property
    def _steps_key(self) -> Hashable:
        return self._trials_key, tuple((trial.number, trial.step) for trial in self.state.running)

    def _one_column(self, width: int, height: int) -> list[Row]:
        state, is_ascii = self.state, self._is_ascii
        every_second, by_trial = self._second_key, self._trials_key
        gap = _Part(9, 1, lambda *_: [Text()], None)
        parts = [
            _Part(0, 1, lambda w, _: [stages_row(state, w, is_ascii=is_ascii)], every_second),
            _Part(1, 1, lambda w, _: [bar_row(state, w, is_ascii=is_ascii)], every_second),
            _Part(2, 1, lambda w, _: [pace_row(state, w)], every_second),
            gap,
        ]
        if state.started is None:
            parts.append(
                _Part(3, len(state.stages), lambda *_: stage_list(state, is_ascii=is_ascii), by_trial)
            )
            return self._stacked(parts, width, height)
        parts += [
            _Part(4, 1, lambda w, _: [hypervolume_row(state, w, is_ascii=is_ascii)], by_trial, "hypervolume"),
            _Part(5, 1, lambda w, _: [best_row(state, w)], by_trial, "best"),
            *([_Part(8, 1, lambda w, _: [knee_row(state, w)], by_trial, "knee")] if state.has_knee else []),
        ]
        # The first budget and the first worker stay longer than the others.
        for place in range(state.budget_count):
            label = "" if place else "budgets"
            parts.append(_Part(6 + bool(place), 1, self._budget(place), by_trial, label))
        for place in range(len(state.slots)):
            label = "" if place else "running"
            parts.append(_Part(7 if place else 3, 1, self._worker(place), self._steps_key, label))
        is_high = height >= _ROOM_FOR_RECENT
        plot_height = height * 2 // 5 if is_high else height
        parts += [
            _Part(7, 1, self._recent, by_trial, "last"),
            _Part(9, 1, lambda *_: [failures_row(state)], by_trial, "failed" if state.failures else ""),
            _Part(10, plot_height, self._plot, by_trial, least=LEAST_HEIGHT),
        ]
        if is_high:
            parts += [gap, _Part(11, height, self._recent, by_trial, "recent")]
        return self._stacked(parts, width, height)

    def _stacked(self, parts: Sequence[_Part], width: int, height: int) -> list[Row]:
        rows: list[Row] = []
        for place, (part, given) in enumerate(zip(parts, _shared(parts, height), strict=True)):
            if given:
                rows += self._keep(
                    f"part {place}",
                    (part.key, part.label, width, given, self._is_ascii),
                    lambda part=part, given=given: self._labelled(part, width, given),  # type: ignore[misc]
                )
        return rows

    def _labelled(self, part: _Part, width: int, height: int) -> list[Row]:
        indent = 0 if part.label is None else min(LABEL, width // 4)
        lines = list(part.lines(width - indent, height))[:height]
        lines += [Text()] * (height - len(lines))
        rows = []
        for place, line in enumerate(lines):
            label = (part.label or "") if not place else ""
            head = Text.assemble((f"{label[: max(indent - 1, 0)]:<{indent}}", "dim"))
            rows.append(self._row(head.append_text(line), width))
        return rows

    def _two_columns(self, width: int, height: int) -> list[Row]:
        state = self.state
        left = min(max(round(width * _LEFT_SHARE), _LEFT[0]), _LEFT[1])
        room = height - 2  # without the stages above and the symbols below
        column = self._boxes(left, room)
        beside = self._plots(width - left - 1, room)
        gap = Segment(" ")
        stages = self._keep(
            "stages",
            (self._second_key, width, self._is_ascii),
            lambda: [self._row(stages_row(state, width, is_ascii=self._is_ascii), width)],
        )
        schemes = self._keep(
            "schemes",
            (state.changes, width, self._is_ascii),
            lambda: [self._row(self._schemes(width), width)],
        )
        return [*stages, *((*a, gap, *b) for a, b in zip(column, beside, strict=True)), *schemes]

    def _boxes(self, width: int, height: int) -> list[Row]:
        """The left column: exactly `height` rows."""
        state, is_ascii = self.state, self._is_ascii
        every_second, by_trial = self._second_key, self._trials_key
        if state.started is None:
            return [
                *self._kept_box("progress", lambda w, _: self._progress(w), every_second, (width, 4)),
                *self._kept_box(
                    "stages to come",
                    lambda *_: stage_list(state, is_ascii=is_ascii),
                    by_trial,
                    (width, height - 4),
                ),
            ]
        name = Text.assemble((state.started.name, "bold"), (f" {state.started.out}", "dim"))
        name.truncate(width - 6, overflow="ellipsis")
        count = state.budget_count
        budgets = min(count, height - 9 - 3 - 2) + 2 if count else 0
        workers = max(min(len(state.slots), height - 9 - 2 - budgets), 1)
        rest = height - 9 - (workers + 2) - budgets
        rows = self._kept_box("progress", lambda w, _: self._progress(w), every_second, (width, 9), name)
        rows = rows + self._kept_box(
            "running",
            lambda w, _: [self._running(place, w) for place in range(workers)],
            self._steps_key,
            (width, workers + 2),
        )
        if budgets:
            rows = rows + self._kept_box(
                "budgets",
                lambda w, _: budget_rows(state.budgets(), w, is_ascii=is_ascii),
                by_trial,
                (width, budgets),
            )
        if rest > 2:
            rows = rows + self._kept_box("finished", self._recent, by_trial, (width, rest))
        return (rows + [self._row(Text(" " * width), width)] * height)[:height]

    def _progress(self, width: int) -> list[Text]:
        state = self.state
        rows = [bar_row(state, width, is_ascii=self._is_ascii), pace_row(state, width)]
        if state.started is None:
            return rows
        labelled = [
            ("hypervolume", hypervolume_row(state, width - _LABEL, is_ascii=self._is_ascii)),
            ("best", best_row(state, width - _LABEL)),
            *([("knee", knee_row(state, width - _LABEL))] if state.has_knee else []),
            ("failed" if state.failures else "", failures_row(state)),
        ]
        rows.append(Text())
        return rows + [Text.assemble((f"{label:<{_LABEL}}", "dim"), row) for label, row in labelled]

    def _plots(self, width: int, height: int) -> list[Row]:
        """The right column: the front, and where there is room its hypervolume and a loss below it."""
        state = self.state
        below = _PLOT_BELOW if height >= _LEAST_FRONT + _PLOT_BELOW else 0
        below += 4 if height >= 40 else 0
        count = len(state.front)
        title = Text("front", "bold")
        if count:
            title = Text.assemble(title, (f" {count} trial{'s' * (count != 1)}", "dim"))
        rows = self._kept_box("front", self._plot, self._trials_key, (width, height - below), title)
        if not below:
            return rows
        is_wide = width >= 2 * LEAST_WIDTH + 20
        first = (width - 1) // 2 if is_wide else width
        volume = self._kept_box("hypervolume", self._growth, state.changes, (first, below))
        if not is_wide:
            return [*rows, *volume]
        # The running trial that is furthest.
        trial = max(state.running, key=lambda trial: (trial.done, -trial.number), default=None)
        loss = self._kept_box(
            "loss",
            lambda w, h: self._loss(trial, w, h),
            self._steps_key,
            (width - 1 - first, below),
            Text("loss" if trial is None else f"loss of trial {trial.number}", "bold"),
        )
        return [*rows, *((*a, Segment(" "), *b) for a, b in zip(volume, loss, strict=True))]

    def _growth(self, width: int, height: int) -> list[Text]:
        volumes = self.state.hypervolumes
        return curve_lines(
            list(enumerate(volumes, 1)),
            width,
            height,
            until=self.state.total,
            decimals=4,
            floor=volumes[growth_from(self.state)] if volumes else None,
            is_ascii=self._is_ascii,
        )

    def _loss(self, trial: RunningTrial | None, width: int, height: int) -> list[Text]:
        losses = [] if trial is None else trial.losses
        until = 1 if trial is None else trial.total
        return curve_lines(losses, width, height, until=until, decimals=3, is_ascii=self._is_ascii)

    def _budget(self, place: int) -> Callable[[int, int], list[Text]]:
        return lambda w, _: [budget_rows(self.state.budgets(), w, is_ascii=self._is_ascii)[place]]

    def _worker(self, place: int) -> Callable[[int, int], list[Text]]:
        return lambda w, _: [self._running(place, w)]

    def _running(self, place: int, width: int) -> Text:
        return running_row(self.state.slots[place], self.state, width, is_ascii=self._is_ascii)

    def _recent(self, width: int, height: int) -> list[Text]:
        state = self.state
        latest = state.recent[: -height - 1 : -1]
        return [trial_row(state, record, width, note_of(state, record)) for record in latest] or [
            Text("none yet", "dim")
        ]

    def _plot(self, width: int, height: int) -> Sequence[Text]:
        return self._front.lines(self.state, width, height, is_ascii=self._is_ascii)

    def _schemes(self, width: int) -> Text:
        """What the symbols of the strips mean, as far as there is room."""
        used = {scheme for record in self.state.records.values() for scheme in record.policy.values()}
        used |= {scheme for trial in self.state.running for scheme in trial.policy.values()}
        line = Text(" ")
        for piece in precision_legend(list(used)).pieces if used else ():
            if line.cell_len + piece.cell_len + 3 > width:
                break
            line.append_text(piece).append("   ")
        return line

    def _kept_box(
        self,
        name: str,
        lines: Callable[[int, int], Sequence[Text]],
        key: Hashable,
        size: tuple[int, int],
        title: Text | None = None,
    ) -> list[Row]:
        """Lines in a frame of `size` = (width, height), built anew when the key changes."""
        width, height = size
        shown = Text(name, "bold") if title is None else title
        return self._keep(
            name,
            (key, shown.plain, width, height, self._is_ascii),
            lambda: self._box(shown, lines(width - 4, height - 2), width, height),
        )

    def _box(self, title: Text, lines: Sequence[Text], width: int, height: int) -> list[Row]:
        corners, across, down = ("++++", "-", "|") if self._is_ascii else ("╭╮╰╯", "─", "│")
        head = Text.assemble((f"{corners[0]}{across} ", _BORDER), title, " ")
        head.append(across * (width - head.cell_len - 1) + corners[1], _BORDER)
        rows = [self._row(head, width)]
        for place in range(height - 2):
            line = lines[place].copy() if place < len(lines) else Text()
            line.truncate(width - 4, overflow="ellipsis", pad=True)
            rows.append(self._row(Text.assemble((f"{down} ", _BORDER), line, (f" {down}", _BORDER)), width))
        return [*rows, self._row(Text(corners[2] + across * (width - 2) + corners[3], _BORDER), width)]

    def _row(self, line: Text, width: int) -> Row:
        if line.cell_len > width:
            line.truncate(width, overflow="ellipsis")
        line.end = ""
        row = line.render(self.console)
        if self._is_ascii:
            return tuple(Segment(_plain(part.text), part.style) for part in row)
        return tuple(row)

    def _keep(self, name: str, key: Hashable, build: Callable[[], list[Row]]) -> list[Row]:
        """What was built for that key before, or now."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != key:
            kept = self._kept[name] = (key, build())
        return kept[1]


def _plain(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def _shared(parts: Sequence[_Part], height: int) -> list[int]:
    """Rows for each part: by rank each its least, then the rest to those that want more."""
    given = [0] * len(parts)
    left = height
    order = sorted(range(len(parts)), key=lambda place: parts[place].rank)
    for place in order:
        if parts[place].least <= left:
            given[place] = parts[place].least
            left -= given[place]
    for place in order:
        if given[place]:
            more = min(parts[place].height - given[place], left)
            given[place] += more
            left -= more
    return given
