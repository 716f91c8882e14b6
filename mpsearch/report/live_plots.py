"""Plots of a running search: their axes hold still while points arrive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

from mpsearch.report.axis import Axis, Quantity
from mpsearch.report.canvas import Canvas
from mpsearch.report.landmarks import uniform_name
from mpsearch.report.search_state import SearchState
from mpsearch.report.staircase import stair_line, stairs
from mpsearch.report.units import UNIT_TEXTS
from mpsearch.search.objective import Objective, first_cost
from mpsearch.search.trial_record import TrialRecord

_GUTTER = 7  # cells left of the edge, whatever the ticks say: the edge shall not move
_LOG_FROM_RANGE = 4.0
_EXTRA = 0.12  # of the span, beyond a value that did not fit: the next one shall
_CELLS_PER_TICK = 14
_FRAME = 3  # title, edge, ticks
LEAST_HEIGHT = 4 + _FRAME
LEAST_WIDTH = 24 + _GUTTER

# symbol, the same in ASCII, style; in drawing order.
_TRIAL = ("·", ".", "bright_black")
_OVER = ("×", "x", "red dim")
_UNIFORM = ("□", "u", "cyan")
_FRONT = ("●", "o", "green")
_BASELINE = ("◆", "B", "blue")
_BEST = ("◉", "*", "bold bright_green")
_KNEE = ("★", "K", "bold yellow")
_NEW = ("●", "o", "bold bright_magenta")


class FrontPlot:
    """Accuracy, or the loss, against the first cost of the run, from the 32-bit baseline on.

    The cost's axis spans all that the space can reach. The axis of accuracy shows the error 1 - accuracy on a
    logarithmic scale, as that of a loss does, and grows when a trial falls outside of it; it never shrinks.
    """

    def __init__(self) -> None:
        self._errors: tuple[float, float] | None = None

    def lines(self, state: SearchState, width: int, height: int, *, is_ascii: bool) -> list[Text]:
        """`height` rows of at most `width` cells."""
        started = state.started
        if started is None:
            return _empty("The front appears here with the first trials.", width, height)
        cost = first_cost(started.objectives)
        complete = state.complete()
        low, high = cost.of(started.least_costs), cost.of(started.greatest_costs)
        costs = [cost.of(record) for record in complete]
        costs.append(cost.of(started.baseline_costs))
        x_axis = _cost_axis(cost, min(low, *costs), max(high, *costs))
        learnt = state.learnt
        first = started.baseline_loss if learnt.name == "loss" else started.baseline_score
        y_axis = self._learnt_axis(learnt, [first, *(learnt.of(record) for record in complete)])
        canvas = Canvas(width - _GUTTER - 1, height - _FRAME)
        _draw(canvas, state, cost, x_axis, y_axis, is_ascii=is_ascii)
        title = _GUTTER + len(f"↑ {learnt.name}")
        head = plot_legend(state, width - title - 3, is_ascii=is_ascii)
        head = Text(" " * (width - title - head.cell_len)).append_text(head)
        return _framed(canvas, x_axis, y_axis, head, is_ascii=is_ascii)

    def _learnt_axis(self, learnt: Objective, values: Sequence[float]) -> Axis:
        is_share = learnt.unit == "1"
        quantity = Quantity(name=learnt.name, text=UNIT_TEXTS[learnt.unit], is_fraction=is_share)
        floor = 1e-4
        places = [
            -math.log10(max(1 - value, floor)) if is_share else math.log10(max(value, floor))
            for value in values
        ]
        low, high = min(places), max(places)
        if self._errors is None:
            self._errors = low - 0.08, high + 0.08
        before_low, before_high = self._errors
        extra = _EXTRA * (max(high, before_high) - min(low, before_low))
        self._errors = (
            low - extra if low < before_low else before_low,
            high + extra if high > before_high else before_high,
        )
        return Axis(
            quantity=quantity,
            kind="log error" if is_share else "log",
            low=self._errors[0],
            high=min(self._errors[1], -math.log10(floor)) if is_share else self._errors[1],
            error_floor=floor,
        )


def plot_legend(state: SearchState, width: int, *, is_ascii: bool) -> Text:
    """What the symbols mean: always all of them, so that it holds still; fewer where there is little room."""
    has_budgets = state.started is not None and bool(state.started.budgets)
    looks = [
        *([(_KNEE, "knee")] if state.has_knee else []),
        (_BEST, "best"),
        (_FRONT, "front"),
        (_UNIFORM, "uniform"),
        (_BASELINE, "32-bit"),
    ]
    looks += [(_OVER, "over budget")] if has_budgets else []
    looks.append((_TRIAL, "other"))
    legend = Text()
    for (symbol, plain, style), name in looks:
        piece = Text.assemble((plain if is_ascii else symbol, style), (f" {name}", "dim"))
        if legend.cell_len + 2 + piece.cell_len > width:
            break
        legend.append("  " if legend else "").append_text(piece)
    return legend


def curve_lines(
    points: Sequence[tuple[int, float]],
    width: int,
    height: int,
    *,
    until: int,
    decimals: int,
    is_ascii: bool,
    floor: float | None = None,
) -> list[Text]:
    """A line through `points`, on `height` rows. It goes to the right edge when it comes to `until`.

    What lies below `floor` is drawn at the bottom.
    """
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    if len(finite) < 2:
        return _empty("", width, height)
    first = finite[0][0]
    top = max(y for _, y in finite)
    bottom = min(y for _, y in finite) if floor is None else min(floor, top)
    span = (top - bottom) or abs(top) * 0.1 or 1.0
    canvas = Canvas(width - _GUTTER - 1, height - 2)
    places = [
        (min((x - first) / max(until - first, 1), 1.0), min(max((y - bottom) / span, 0.0), 1.0))
        for x, y in finite
    ]
    for start, end in pairwise(places):
        if is_ascii:
            for column in range(int(start[0] * canvas.width), int(end[0] * canvas.width) + 1):
                canvas.symbol((column + 0.5) / canvas.width, end[1], "*", "cyan")
        else:
            canvas.segment(start, end, "cyan")
    ticks = {0: f"{top:.{decimals}f}", height - 3: f"{bottom:.{decimals}f}"}
    corner, line = ("+", "-") if is_ascii else ("└", "─")
    last = str(until)
    return [
        *_with_edge(canvas, ticks, is_ascii=is_ascii),
        Text(" " * _GUTTER + corner + line * canvas.width, "dim"),
        Text(" " * (_GUTTER + 1) + f"{first:<{canvas.width - len(last)}}{last}", "dim"),
    ]


def _cost_axis(cost: Objective, low: float, high: float) -> Axis:
    quantity = Quantity(name=cost.name.replace("_", " "), text=UNIT_TEXTS[cost.unit])
    is_log = low > 0 and high > _LOG_FROM_RANGE * low
    start, end = (math.log10(low), math.log10(high)) if is_log else (low, high)
    margin = 0.05 * (end - start) or abs(end) * 0.05 or 0.5
    return Axis(quantity=quantity, kind="log" if is_log else "linear", low=start - margin, high=end + margin)


def _draw(
    canvas: Canvas, state: SearchState, cost: Objective, x_axis: Axis, y_axis: Axis, *, is_ascii: bool
) -> None:
    assert state.started is not None
    new = state.new()
    ranked = sorted(
        (_look(state, record, new), *_place(state, record, cost, x_axis, y_axis))
        for record in state.complete()
    )
    if not is_ascii:
        _staircase(canvas, state, cost, x_axis, y_axis)
    if not any(record.policy.is_full_precision for record in state.complete()):
        costs = state.started.baseline_costs
        score, loss = state.started.baseline_score, state.started.baseline_loss
        reached = loss if state.learnt.name == "loss" else score
        place = x_axis.place(cost.of(costs)), y_axis.place(reached)
        ranked.append(((4, _BASELINE, "32-bit"), *place))
    for (_, (symbol, plain, style), _), x, y in ranked:
        canvas.symbol(x, y, plain if is_ascii else symbol, style)
    for (_, (_, _, style), label), x, y in reversed(ranked):
        if label:
            canvas.label(x, y, label, style)
    bound = state.started.budgets.bounds().get(cost.name)
    if bound is not None and bound > 0:
        canvas.label(x_axis.place(bound), 0.999, "budget", "red dim")
        canvas.column(x_axis.place(bound), ":" if is_ascii else "┊", "red dim")


def _place(
    state: SearchState, record: TrialRecord, cost: Objective, x_axis: Axis, y_axis: Axis
) -> tuple[float, float]:
    return x_axis.place(cost.of(record)), y_axis.place(max(state.learnt.of(record), 1e-9))


def _look(
    state: SearchState, record: TrialRecord, new: frozenset[int]
) -> tuple[int, tuple[str, str, str], str]:
    """Its rank in drawing order, how it looks, its label."""
    assert state.started is not None
    number = record.number
    scheme = record.policy.uniform_scheme
    name = "" if scheme is None else uniform_name(scheme, record.policy.width)
    if number in new:
        return 7, _NEW, "new " + (name or str(number))
    if number == state.knee and state.has_knee:
        return 6, _KNEE, f"knee {number}"
    if state.best is not None and number == state.best.number:
        return 5, _BEST, f"best {number}"
    if scheme is not None:
        return (4, _BASELINE, name) if scheme.is_full_precision else (3, _UNIFORM, name)
    if number in state.front:
        return 2, _FRONT, ""
    return (1, _TRIAL, "") if state.is_wanted(record) else (0, _OVER, "")


def _staircase(canvas: Canvas, state: SearchState, cost: Objective, x_axis: Axis, y_axis: Axis) -> None:
    """Joins the trials that nothing cheaper beats."""
    steps = stairs(
        (_place(state, record, cost, x_axis, y_axis) for record in state.complete()),
        up=state.learnt.direction,
    )
    for start, end in pairwise(stair_line(steps)):
        canvas.segment(start, end, "green dim")


def _framed(canvas: Canvas, x_axis: Axis, y_axis: Axis, head: Text, *, is_ascii: bool) -> list[Text]:
    up, right, corner, line, notch = ("^", "->", "+", "-", "+") if is_ascii else ("↑", "→", "└", "─", "┬")
    ticks: dict[int, str] = {}
    for place, text in y_axis.ticks(max(canvas.height // 3, 2)):
        if (cell := canvas.cell(0, place)) is not None:
            ticks[cell[1]] = text
    edge, texts = [line] * canvas.width, [" "] * canvas.width
    name = f"{x_axis.quantity.name} {right}"
    texts[canvas.width - len(name) :] = name
    free_from, free_to = 0, canvas.width - len(name) - 2
    for place, text in x_axis.ticks(max(canvas.width // _CELLS_PER_TICK, 2)):
        column = min(int(place * canvas.width), canvas.width - 1)
        start = max(column - len(text) // 2, 0)
        if start >= free_from and start + len(text) <= free_to:
            edge[column] = notch
            texts[start : start + len(text)] = text
            free_from = start + len(text) + 2
    return [
        Text.assemble((" " * _GUTTER + f"{up} {y_axis.quantity.name}", "dim"), head),
        *_with_edge(canvas, ticks, is_ascii=is_ascii),
        Text(" " * _GUTTER + corner + "".join(edge), "dim"),
        Text(" " * (_GUTTER + 1) + "".join(texts), "dim"),
    ]


def _with_edge(canvas: Canvas, ticks: dict[int, str], *, is_ascii: bool) -> list[Text]:
    notch, plain = ("+", "|") if is_ascii else ("┤", "│")
    rows = []
    for row, line in enumerate(canvas.lines()):
        edge = f"{ticks.get(row, ''):>{_GUTTER - 1}} {notch if row in ticks else plain}"
        rows.append(Text.assemble((edge, "dim"), line))
    return rows


def _empty(text: str, width: int, height: int) -> list[Text]:
    above = max(height // 2 - 1, 0)
    return [
        *[Text()] * above,
        Text(text[:width].center(width).rstrip(), "dim"),
        *[Text()] * (height - above - 1),
    ]
