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
from mpsearch.report.search_state import STAGES, SearchState

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
    """Some rows of the layout. `rank`: the lower, the longer it stays when room gets scarce."""

    rank: int
    height: int
    lines: Callable[[int, int], Sequence[Text]]  # of width, height
    label: str = ""
    least: int = 1


@dataclass(eq=False)
class LivePanel:
    """Draws a search's state into any number of columns and rows.

    One column of labelled rows above the plot; from 100 columns and 20 rows on, boxes with the plot beside
    them. What is shown where depends on the terminal's size, the workers and the budgets alone, so that
    nothing moves while trials come in.
    """

    state: SearchState
    lock: RLock
    console: Console
    _front: FrontPlot = field(default_factory=FrontPlot)
    _kept: dict[str, tuple[Hashable, list[Row]]] = field(default_factory=dict)

    def rows(self, width: int, height: int) -> list[Row]:
        """At most `height` rows of at most `width` cells."""
        self._is_ascii = self.console.options.ascii_only
        height = min(height, _HIGHEST)
        with self.lock:
            if width >= _TWO_COLUMNS[0] and height >= _TWO_COLUMNS[1]:
                return self._two_columns(width, height)
            return self._one_column(width, height)

    def _one_column(self, width: int, height: int) -> list[Row]:
        state = self.state
        parts = [
            _Part(0, 1, lambda w, _: [stages_row(state, w, is_ascii=self._is_ascii)]),
            _Part(1, 1, lambda w, _: [bar_row(state, w, is_ascii=self._is_ascii)]),
            _Part(2, 1, lambda w, _: [pace_row(state, w)]),
        ]
        gap = _Part(9, 1, lambda *_: [Text()])
        if state.started is None:
            parts += [gap, _Part(3, len(STAGES), lambda *_: stage_list(state, is_ascii=self._is_ascii))]
        else:
            budgets = budget_rows(state.budgets(), width - LABEL, is_ascii=self._is_ascii)
            parts += [
                gap,
                _Part(4, 1, lambda w, _: [hypervolume_row(state, w, is_ascii=self._is_ascii)], "hypervolume"),
                _Part(5, 1, lambda w, _: [best_row(state, w)], "best"),
                _Part(8, 1, lambda w, _: [knee_row(state, w)], "knee"),
                *(
                    _Part(
                        6 + bool(place),
                        1,
                        lambda _w, _h, row=row: [row],  # type: ignore[misc]
                        "" if place else "budgets",
                    )
                    for place, row in enumerate(budgets)
                ),
                *(
                    _Part(
                        3 + 4 * bool(place),
                        1,
                        lambda w, _h, p=place: [self._running(p, w)],  # type: ignore[misc]
                        "" if place else "running",
                    )
                    for place in range(len(state.slots))
                ),
                _Part(7, 1, lambda w, _: self._recent(w, 1), "last"),
                _Part(9, 1, lambda *_: [failures_row(state)], "failed" if state.failures else " "),
                _Part(
                    10,
                    height if height < _ROOM_FOR_RECENT else height * 2 // 5,
                    self._plot,
                    least=LEAST_HEIGHT,
                ),
            ]
            if height >= _ROOM_FOR_RECENT:
                parts += [gap, _Part(11, height, self._recent, "recent")]
        return self._stacked(parts, width, height)

    def _stacked(self, parts: Sequence[_Part], width: int, height: int) -> list[Row]:
        heights = _shared(parts, height)
        rows: list[Row] = []
        labelled = any(part.label for part in parts)
        for part, given in zip(parts, heights, strict=True):
            if not given:
                continue
            is_row = part.label or (labelled and part.rank in {6, 7})
            indent = min(LABEL, width // 4) if is_row else 0
            lines = list(part.lines(width - indent, given))[:given]
            lines += [Text()] * (given - len(lines))
            for place, line in enumerate(lines):
                label = part.label if not place else ""
                head = Text(f"{label:<{indent}}"[:indent], "dim") if indent else Text()
                rows.append(self._row(head.append_text(line), width))
        return rows

    def _two_columns(self, width: int, height: int) -> list[Row]:
        state = self.state
        left = min(max(round(width * _LEFT_SHARE), _LEFT[0]), _LEFT[1])
        right = width - left - 1
        inner = left - 4
        top = [self._row(stages_row(state, width, is_ascii=self._is_ascii), width)]
        room = height - len(top) - 1
        name = Text("progress", "bold")
        if state.started is not None:
            name = Text.assemble((state.started.name, "bold"), (f" {state.started.out}", "dim"))
            name.truncate(left - 6, overflow="ellipsis")
        boxes: list[tuple[str | Text, list[Text], int]] = [(name, self._progress(inner), 7)]
        if state.started is None:
            boxes = [(name, self._progress(inner)[:2], 2)]
            boxes.append(("stages", stage_list(state, is_ascii=self._is_ascii), room - 6))
        else:
            budgets = budget_rows(state.budgets(), inner, is_ascii=self._is_ascii)
            spare = room - 9 - 2 - (len(budgets) + 2 if budgets else 0)
            slots = max(min(len(state.slots), spare), 1)
            running = [self._running(place, inner) for place in range(slots)]
            boxes.append(("running", running, slots))
            if budgets:
                boxes.append(("budgets", budgets, len(budgets)))
            spare = room - sum(lines + 2 for _, _, lines in boxes) - 2
            if spare > 0:
                boxes.append(("finished", self._recent(inner, spare), spare))
        column: list[Row] = []
        for title, lines, count in boxes:
            column += self._box(title, lines, left, count + 2)
        column = (column + [self._row(Text(), left)] * room)[:room]
        beside = self._plots(right, room)
        gap = Segment(" ")
        rows = [(*a, gap, *b) for a, b in zip(column, beside, strict=True)]
        return [*top, *rows, self._row(self._schemes(width), width)]

    def _progress(self, width: int) -> list[Text]:
        state = self.state
        rows = [bar_row(state, width, is_ascii=self._is_ascii), pace_row(state, width)]
        labelled = [
            ("hypervolume", hypervolume_row(state, width - _LABEL, is_ascii=self._is_ascii)),
            ("best", best_row(state, width - _LABEL)),
            ("knee", knee_row(state, width - _LABEL)),
            ("failed" if state.failures else "", failures_row(state)),
        ]
        rows.append(Text())
        return rows + [Text.assemble((f"{label:<{_LABEL}}", "dim"), row) for label, row in labelled]

    def _plots(self, width: int, height: int) -> list[Row]:
        below = _PLOT_BELOW if height >= _LEAST_FRONT + _PLOT_BELOW else 0
        if height >= 40:
            below += 4
        state = self.state
        inner = height - below - 2
        count = len(state.front)
        title = Text.assemble(
            ("front", "bold"), (f" {count} trial{'s' * (count != 1)}" if count else "", "dim")
        )
        rows = self._keep(
            "front",
            (width, height, state.finished, state.stage == "search", state.new(), self._is_ascii),
            lambda: self._box(
                title, self._front.lines(state, width - 4, inner, is_ascii=self._is_ascii), width, inner + 2
            ),
        )
        if not below:
            return rows
        is_wide = width >= 2 * LEAST_WIDTH + 20
        first = (width - 1) // 2 if is_wide else width
        volume = self._keep(
            "hypervolume",
            (first, below, state.finished, self._is_ascii),
            lambda: self._box(
                "hypervolume",
                curve_lines(
                    list(enumerate(state.hypervolumes, 1)),
                    first - 4,
                    below - 2,
                    until=state.total,
                    decimals=4,
                    floor=state.hypervolumes[growth_from(state)] if state.hypervolumes else None,
                    is_ascii=self._is_ascii,
                ),
                first,
                below,
            ),
        )
        if not is_wide:
            return [*rows, *volume]
        losses = self._losses(width - 1 - first, below)
        return [*rows, *((*a, Segment(" "), *b) for a, b in zip(volume, losses, strict=True))]

    def _losses(self, width: int, height: int) -> list[Row]:
        """The loss of the running trial that is furthest."""
        trial = max(self.state.running, key=lambda trial: (trial.done, -trial.number), default=None)
        title = "loss" if trial is None else f"loss of trial {trial.number}"
        losses = [] if trial is None else trial.losses
        return self._keep(
            "loss",
            (width, height, title, len(losses), trial.step if trial else 0, self._is_ascii),
            lambda: self._box(
                title,
                curve_lines(
                    losses,
                    width - 4,
                    height - 2,
                    until=trial.total if trial else 1,
                    decimals=3,
                    is_ascii=self._is_ascii,
                ),
                width,
                height,
            ),
        )

    def _running(self, place: int, width: int) -> Text:
        trial = self.state.slots[place] if place < len(self.state.slots) else None
        return running_row(trial, self.state, width, is_ascii=self._is_ascii)

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

    def _box(self, title: str | Text, lines: Sequence[Text], width: int, height: int) -> list[Row]:
        """Lines in a frame of `width` x `height` cells."""
        corners, across, down = ("++++", "-", "|") if self._is_ascii else ("╭╮╰╯", "─", "│")
        name = Text(title, "bold") if isinstance(title, str) else title
        head = Text.assemble((f"{corners[0]}{across} ", _BORDER), name, " ")
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
