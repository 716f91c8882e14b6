"""A run in a notebook: a table and a picture, without scripts, in the colours of the page around them."""

from __future__ import annotations

import math
from collections.abc import Callable

from mpsearch.precision.policy import PrecisionPolicy
from mpsearch.report.front_svg import KNEE_COLOUR, front_svg
from mpsearch.report.landmarks import landmarks
from mpsearch.report.markup import Markup, element, joined
from mpsearch.report.precision_strip import SYMBOLS, scheme_colour
from mpsearch.report.stopped_text import unscored_text
from mpsearch.report.units import ColumnUnit, factor_text, interval_text
from mpsearch.report.width_text import width_text
from mpsearch.search.objective import Objective, costs_on
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_MOST_ROWS = 40


def run_html(run: Run, *, heading: bool) -> Markup:
    """The front as a table and as a plot; `heading` puts a line above that says what was searched.

    Styles are attributes, not a sheet, so that they also show where a notebook is only read.
    """
    parts: list[Markup] = []
    if heading:
        parts.append(_heading(run))
    if run.front.records:
        parts += [_table(run), element("div", front_svg(run))]
    else:
        parts.append(element("p", "No trial has finished yet. The same search goes on where it was."))
    return element("div", parts, style="max-width:960px")


def strip_html(policy: PrecisionPolicy, layers: tuple[str, ...]) -> Markup:
    """One coloured cell a layer with the letter of its scheme."""
    cells = []
    for layer in layers:
        scheme = policy[layer]
        style = (
            f"background:{scheme_colour(scheme)};color:#101010;display:inline-block;width:1.25em;"
            "text-align:center"
        )
        cells.append(element("span", SYMBOLS[scheme.name], style=style, title=f"{layer}: {scheme.name}"))
    look = "font-family:monospace;line-height:1.4;display:inline-block;max-width:25em;text-align:left"
    return element("span", cells, style=look)


def _heading(run: Run) -> Markup:
    complete = sum(record.is_complete for record in run.trainings)
    text = (
        f"{complete} trials{unscored_text(run.records)}, {len(run.front)} on the front of "
        f"{', '.join(o.name for o in run.objectives)}; latency predicted by profile {run.profile.name}"
    )
    return element("p", element("b", run.space.name), f"  {text}")


def _table(run: Run) -> Markup:
    records = run.front.records
    layers = run.layers
    names = landmarks(run)
    base = run.baseline.costs
    samples = f"{run.validation_samples} samples"
    columns: list[tuple[str, str, Callable[[TrialRecord], str | Markup]]] = [
        ("", "", lambda r: _mark(r.number in names and names[r.number].kind == "knee")),
        ("trial", "", lambda r: str(r.number)),
        *([("width", "", lambda r: width_text(r.policy))] if run.space.widths else []),
        ("precision", "one cell a layer", lambda r: strip_html(r.policy, layers)),
        (run.metric, f"%, 95% on {samples}", lambda r: _score(r.accuracy, run.interval(r))),
    ]
    if run.test_scores:
        columns.append(("test", "%", lambda r: _percent(run.test_scores.get(r.number, math.nan))))
    shown = {*(o.name for o in run.objectives), *run.budgets.bounds(), "latency", "memory"}
    for cost in (cost for cost in costs_on(run.devices) if cost.name in shown):
        unit = ColumnUnit.fitting(cost.unit, [cost.of(record) for record in records])
        columns.append((cost.name.replace("_", " "), unit.name, _cost_cell(cost, unit)))
    columns += [
        ("faster", "than 32-bit", lambda r: factor_text(base.latency_s / r.latency_s)),
        ("smaller", "than 32-bit", lambda r: factor_text(base.memory_bytes / r.memory_bytes)),
        ("", "", lambda r: names[r.number].label if r.number in names else ""),
    ]
    head = [element("th", title, element("br"), _quiet(unit), style=_CELL) for title, unit, _ in columns]
    rows = [
        element("tr", [element("td", cell(record), style=_CELL) for _, _, cell in columns])
        for record in records[:_MOST_ROWS]
    ]
    left = len(records) - len(rows)
    more = element("p", f"{left} more: run.front.to_dataframe() has them all.") if left > 0 else None
    return joined(
        element("table", element("thead", element("tr", head)), element("tbody", rows), style=_TABLE), more
    )


_TABLE = "color:inherit;border-collapse:collapse;font-variant-numeric:tabular-nums"
_CELL = "text-align:right;padding:2px 8px;white-space:nowrap;vertical-align:middle"


def _quiet(text: str) -> Markup:
    return element("span", text, style="font-weight:normal;opacity:0.65")


def _mark(is_knee: bool) -> str | Markup:  # noqa: FBT001 - one fact, said at the call by its name
    return element("span", "★", style=f"color:{KNEE_COLOUR}", title="the knee") if is_knee else "●"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.2f}"


def _score(score: float, interval: tuple[float, float]) -> Markup:
    return joined(_percent(score), _quiet("" if math.isnan(interval[0]) else f" ({interval_text(interval)})"))


def _cost_cell(cost: Objective, unit: ColumnUnit) -> Callable[[TrialRecord], str]:
    return lambda record: unit.text(cost.of(record))
