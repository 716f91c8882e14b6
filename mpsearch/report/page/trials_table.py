"""The table of the page: the front and the named policies, and on demand all that were scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mpsearch.report.broken_rule import broken_rule
from mpsearch.report.landmarks import Landmark, landmarks
from mpsearch.report.markup import Markup, element, joined
from mpsearch.report.page.page_data import PageData
from mpsearch.report.page.sections import section
from mpsearch.report.precision_strip import precision_text
from mpsearch.report.units import ColumnUnit, factor_text, interval_text
from mpsearch.report.width_text import width_text
from mpsearch.search.objective import Objective, costs_on
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_MARKS = {"knee": "★", "best": "◉", "baseline": "◆", "uniform": "□"}
Order = Literal["ascending", "descending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A sortable column: its cell, the value that it is sorted by, and the order that comes first."""

    title: str
    unit: str
    cell: Callable[[TrialRecord], str | Markup]
    value: Callable[[TrialRecord], float]
    first: Order = "ascending"


def table_section(data: PageData) -> Markup:
    """Every complete trial a row, the fastest first; those beside the front without a name start hidden."""
    run = data.run
    named = landmarks(run)
    records = sorted((r for r in run.records if r.is_complete), key=lambda r: (r.latency_s, r.number))
    columns = _columns(run, [r for r in records if r.number in run.front] or records)
    heads = [
        element("th", aria_label="select"),
        element("th", aria_label="what it is", class_="mark"),
        _head("trial", "", "ascending"),
        element("th", "precision", element("small", "one cell a layer"), class_="left"),
        *(
            _head(column.title, column.unit, column.first, is_sorted=column.title == "latency")
            for column in columns
        ),
        element("th", aria_label="remarks", class_="left"),
    ]
    rows = [_row(data, record, columns, named) for record in records]
    hidden = sum("beside" in row[:60] for row in rows)
    table = element(
        "table", element("thead", element("tr", heads)), element("tbody", rows), id="trials-table"
    )
    more = f"Show all {len(records)} trials"
    button = element(
        "button", more, type="button", id="table-all", aria_expanded="false", aria_controls="trials-table",
        data_more=more, data_fewer="Show the front and the named ones",
    )  # fmt: skip
    foot = [button] if hidden else []
    return section(
        "table",
        "The front, policy by policy",
        "Click a heading to sort. The box of a row selects its trial in every chart.",
        element(
            "div",
            element("div", table, class_="scroll", tabindex=0, role="region", aria_label="Table of trials"),
            element("div", foot, _legend(run), class_="table-foot"),
            class_="panel",
        ),
    )


def _legend(run: Run) -> Markup:
    kinds = ["★ knee", "◉ best under the budgets", "◆ 32-bit", "□ uniform", "● on the front"]
    shown = [kind for kind in kinds if run.budgets or not kind.startswith("◉")]
    return element("span", "   ".join(shown))


def _head(title: str, unit: str, first: Order, *, is_sorted: bool = False) -> Markup:
    button = element("button", title, type="button")
    small = element("small", unit) if unit else None
    return element("th", button, small, data_first=first, aria_sort=first if is_sorted else None, scope="col")


def _columns(run: Run, shown: list[TrialRecord]) -> list[_Column]:
    base = run.baseline.costs
    columns = []
    if run.space.widths is not None:
        columns.append(
            _Column(title="width", unit="", cell=lambda r: width_text(r.policy),
                    value=lambda r: math.nan if r.policy.width is None else r.policy.width)
        )  # fmt: skip
    columns += [
        _Column(title=run.metric, unit="% on validation", cell=lambda r: _score(r.accuracy, run.interval(r)),
                value=lambda r: r.accuracy, first="descending")
    ]  # fmt: skip
    if any(record.seeds > 1 for record in shown):
        columns.append(
            _Column(title="seeds", unit="in the mean", cell=lambda r: str(r.seeds), value=lambda r: r.seeds)
        )
    if run.test_scores:
        columns.append(
            _Column(title="test", unit="%", cell=lambda r: _score(run.test_scores.get(r.number, math.nan)),
                    value=lambda r: run.test_scores.get(r.number, math.nan), first="descending")
        )  # fmt: skip
    names = {*(o.name for o in run.objectives), *run.budgets.bounds(), "latency", "memory", "energy"}
    for cost in (cost for cost in costs_on(run.devices) if cost.name in names):
        unit = ColumnUnit.fitting(cost.unit, [cost.of(record) for record in shown])
        columns.append(
            _Column(title=cost.name.replace("_", " "), unit=unit.name, cell=_text_of(cost, unit),
                    value=cost.of)
        )  # fmt: skip
    columns += [
        _Column(title="faster", unit="than 32-bit", cell=lambda r: factor_text(base.latency_s / r.latency_s),
                value=lambda r: base.latency_s / r.latency_s, first="descending"),
        _Column(title="smaller", unit="than 32-bit",
                cell=lambda r: factor_text(base.memory_bytes / r.memory_bytes),
                value=lambda r: base.memory_bytes / r.memory_bytes, first="descending"),
    ]  # fmt: skip
    return columns


def _text_of(cost: Objective, unit: ColumnUnit) -> Callable[[TrialRecord], str]:
    return lambda record: unit.text(cost.of(record))


def _score(score: float, interval: tuple[float, float] = (math.nan, math.nan)) -> Markup:
    if math.isnan(score):
        return joined("–")
    spread = "" if math.isnan(interval[0]) else f" ({interval_text(interval)})"
    return joined(f"{100 * score:.2f}", element("small", spread))


def _row(data: PageData, record: TrialRecord, columns: list[_Column], named: dict[int, Landmark]) -> Markup:
    run, number = data.run, record.number
    landmark = named.get(number)
    on_front = number in run.front
    mark = _MARKS[landmark.kind] if landmark else "●" if on_front else ""
    note: list[Markup] = [joined(landmark.label)] if landmark else []
    if broken := broken_rule(run, record):
        note.append(element("span", f" {broken}" if note else broken, class_="over"))
    letters = precision_text(record.policy, data.layers)
    cells = [
        element("td", element("input", type="checkbox", aria_label=f"Select trial {number}")),
        element("td", element("span", mark, class_=landmark.kind if landmark else None), class_="mark"),
        element("td", str(number), data_value=number),
        element("td", letters, class_="left", data_strip=letters),
        *(
            element("td", column.cell(record), data_value=_sort_key(column.value(record)))
            for column in columns
        ),
        element("td", note, class_="left"),
    ]
    kind = None if on_front or landmark else "beside"
    return element("tr", cells, class_=kind, data_number=number)


def _sort_key(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.9g}"
