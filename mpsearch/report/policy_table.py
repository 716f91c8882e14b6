"""The layers of a policy: precision, work, bytes, time, and the share of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

from mpsearch.cost.cost_report import CostReport
from mpsearch.models.model_trace import ModelTrace
from mpsearch.precision.scheme import Scheme
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.precision_strip import SYMBOLS, scheme_colour, scheme_style
from mpsearch.report.share_bar import share_bar
from mpsearch.report.shortened import shortened
from mpsearch.report.units import ColumnUnit, count_text

_BAR = 8
REST = "outside of layers"


def scheme_text(scheme: Scheme) -> Text:
    """A block in the scheme's colour with its symbol, and its name."""
    return Text.assemble((f" {SYMBOLS[scheme.name]} ", scheme_style(scheme)), f" {scheme}")


def names_column(names: Sequence[str]) -> StretchColumn:
    """The layers' names, shortened where width is short."""
    return StretchColumn(
        title="layer",
        cells=lambda width: [shortened(name, width) for name in names],
        least=min(len(REST), max(len(name) for name in names)),
        most=max(len(name) for name in names),
    )


def layer_table(
    report: CostReport, model: ModelTrace, on_devices: Mapping[str, CostReport] | None = None
) -> FittedTable:
    """One row a layer in call order, then what stays 32-bit, then the total; latency on further devices."""
    layers = report.layers
    latency_s = _latencies(report)
    size_bytes = [*(layer.memory_bytes for layer in layers), report.other_memory_bytes, report.memory_bytes]
    layer_energy_j = sum(layer.energy_j for layer in layers)
    energy_j = [*(layer.energy_j for layer in layers), report.energy_j - layer_energy_j, report.energy_j]
    macs = [layer.macs for layer in layers]
    colours = [scheme_colour(layer.scheme) for layer in layers]
    numbers = [str(number) for number in range(1, len(layers) + 1)]
    columns: list[Column | StretchColumn] = [
        Column(title="", cells=[*numbers, "", ""], importance=7, style="dim"),
        names_column([*(layer.name for layer in layers), REST, "total"]),
        Column(
            title="scheme", cells=[*(scheme_text(la.scheme) for la in layers), Text(), Text()], justify="left"
        ),
        Column(
            title="operator",
            cells=[*(model.layer(layer.name).kind for layer in layers), "", ""],
            justify="left",
            importance=2,
            style="dim",
        ),
        Column(
            title="sizes",
            cells=[*(_sizes(model, layer.name) for layer in layers), "", ""],
            justify="left",
            importance=1,
            style="dim",
        ),
        Column(title="MACs", cells=[*(count_text(m) for m in macs), "", count_text(sum(macs))], importance=5),
        *_with_share("memory", "B", size_bytes, colours, importance=4),
        *_with_share("latency", "s", latency_s, colours, importance=6),
        *(
            _with_share(f"@{device}", "s", _latencies(further), colours, importance=5)[0]
            for device, further in (on_devices or {}).items()
        ),
        *_with_share("energy", "J", energy_j, colours, importance=3)[:1],
    ]
    if any(layer.origin != "measured" for layer in layers):
        origins = [layer.origin for layer in layers]
        columns.append(
            Column(title="timing", cells=[*origins, "", ""], importance=8, justify="left", style="dim")
        )
    return FittedTable(
        columns=columns,
        rows=len(layers) + 2,
        row_styles=[*[""] * len(layers), "dim", "bold"],
        sections=frozenset({len(layers)}),
        tells_hidden=True,
    )


def _latencies(report: CostReport) -> list[float]:
    """Of the layers, of what lies outside of them, of the whole pass."""
    return [*(layer.latency_s for layer in report.layers), report.remainder_latency_s, report.latency_s]


def _with_share(
    title: str, kind: str, values: Sequence[float], colours: Sequence[str], *, importance: int
) -> tuple[Column, Column]:
    """The values in one unit, and the share of each in the last, the total; the longest bar is full."""
    unit = ColumnUnit.fitting_parts(kind, values)
    total = values[-1] or 1.0
    most = max(values[:-1]) or 1.0
    shares = [
        Text.assemble((share_bar(value / most, _BAR), colour), f" {100 * value / total:3.0f}%")
        for value, colour in zip(values[:-1], [*colours, "bright_black"], strict=True)
    ]
    texts = [unit.text(value or math.nan) for value in values]
    return (
        Column(title=title, unit=unit.name, cells=texts, importance=importance + 10),
        Column(
            title="share", unit=f"of {title}", cells=[*shares, Text()], justify="left", importance=importance
        ),
    )


def _sizes(model: ModelTrace, name: str) -> str:
    calls = model.layer(name).calls
    text = str(calls[0]).split(" ", 1)[1]
    return text + (f", {len(calls)} calls" if len(calls) > 1 else "")
