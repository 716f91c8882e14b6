"""One policy, layer by layer: precision, work, bytes, time, and the share of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.cost.cost_report import CostReport
from mpsearch.models.model_trace import ModelTrace
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.pareto_table import chosen_percentiles, layer_order
from mpsearch.report.precision_strip import SYMBOLS, precision_legend, precision_strip, scheme_style
from mpsearch.report.units import ColumnUnit, bytes_text, count_text, factor_text, percent_text, seconds_text
from mpsearch.report.unquantized_text import unquantized_text
from mpsearch.search.run import Run
from mpsearch.search.trial_record import TrialRecord

_BAR = 8
_REST = "outside of layers"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def share_bar(share: float, width: int = _BAR) -> str:
    """A bar of `width` cells for a share of 1, to an eighth of a cell."""
    eighths = round(max(min(share, 1.0), 0.0) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[part] if part else "")).ljust(width)


def policy_view(run: Run, record: TrialRecord) -> RenderableType:
    """What `mpsearch show` prints: the trial's scores, then its layers."""
    report = run.cost_report(record.policy)
    order = layer_order(run)
    head = Text.assemble((f"{run.space.name}, trial {record.number}", "bold"), "  ")
    head.append_text(precision_strip(record.policy, width=48, layers=order))
    head.append(f"\n{_standing(run, record)}", "dim")
    parts: list[RenderableType] = [head]
    if record.failure:
        parts.append(Text(f"failed: {record.failure}", "red"))
    parts += [Text(), layer_table(report, run.model), Text()]
    parts.append(precision_legend(list(set(record.policy.values()))))
    parts.append(_origin(run, report))
    if run.model.unquantized:
        parts += [Text(), unquantized_text(run.model)]
    return Group(*parts)


def layer_table(report: CostReport, model: ModelTrace) -> FittedTable:
    """One row a layer in call order, then what stays 32-bit, then the total."""
    layers = report.layers
    latency_s = [*(layer.latency_s for layer in layers), report.remainder_latency_s, report.latency_s]
    size_bytes = [*(layer.memory_bytes for layer in layers), report.other_memory_bytes, report.memory_bytes]
    layer_energy_j = sum(layer.energy_j for layer in layers)
    energy_j = [*(layer.energy_j for layer in layers), report.energy_j - layer_energy_j, report.energy_j]
    macs = [layer.macs for layer in layers]
    names = [*(layer.name for layer in layers), _REST, "total"]
    schemes = [
        Text.assemble((SYMBOLS[la.scheme.name], scheme_style(la.scheme)), f" {la.scheme}") for la in layers
    ]
    kinds = [model.layer(layer.name).kind for layer in layers]
    shapes = [_sizes(model, layer.name) for layer in layers]
    columns: list[Column | StretchColumn] = [
        StretchColumn(
            title="layer",
            cells=lambda width: [_shortened(name, width) for name in names],
            least=len(_REST),
            most=max(len(name) for name in names),
        ),
        Column(title="scheme", cells=[*schemes, Text(), Text()], justify="left"),
        Column(title="operator", cells=[*kinds, "", ""], justify="left", importance=2, style="dim"),
        Column(title="sizes", cells=[*shapes, "", ""], justify="left", importance=1, style="dim"),
        Column(title="MACs", cells=[*(count_text(m) for m in macs), "", count_text(sum(macs))], importance=5),
        *_with_share("memory", "B", size_bytes, importance=4),
        *_with_share("latency", "s", latency_s, importance=6),
        *_with_share("energy", "J", energy_j, importance=3)[:1],
    ]
    return FittedTable(
        columns=columns,
        rows=len(names),
        row_styles=[*[""] * len(layers), "dim", "bold"],
        sections=frozenset({len(layers)}),
    )


def _with_share(title: str, kind: str, values: Sequence[float], *, importance: int) -> tuple[Column, Column]:
    """The values in one unit, and a bar with the share of the last of them, the total."""
    unit = ColumnUnit.fitting(kind, values[-1:])
    total = values[-1] or 1.0
    shares = [f"{share_bar(value / total)} {100 * value / total:3.0f}%" for value in values[:-1]]
    texts = [unit.text(value or math.nan) for value in values]
    return (
        Column(title=title, unit=unit.name, cells=texts, importance=importance + 10),
        Column(title="share", cells=[*shares, ""], justify="left", importance=importance, style="cyan"),
    )


def _sizes(model: ModelTrace, name: str) -> str:
    calls = model.layer(name).calls
    text = str(calls[0]).split(" ", 1)[1]
    return text + (f", {len(calls)} calls" if len(calls) > 1 else "")


def _shortened(name: str, width: int) -> Text:
    """The end of a long name tells layers apart: keep it."""
    return Text(name if len(name) <= width else "…" + name[len(name) - width + 1 :])


def _standing(run: Run, record: TrialRecord) -> str:
    base = run.baseline
    parts = []
    if record.is_complete:
        parts.append(f"accuracy {percent_text(record.accuracy)} on validation")
        parts.append(f"{100 * (record.accuracy - base.score):+.2f} points to 32-bit")
        if record.number in run.test_scores:
            parts.append(f"{percent_text(run.test_scores[record.number])} on test")
        parts.append("on the front" if record.number in run.front else "not on the front")
    parts.append(f"{factor_text(base.costs.latency_s / record.latency_s)} faster")
    parts.append(f"{factor_text(base.costs.memory_bytes / record.memory_bytes)} smaller")
    parts += [
        f"{o.name.removeprefix('latency_')} {seconds_text(getattr(record, o.field))}"
        for o in chosen_percentiles(run)
    ]
    return ", ".join(parts)


def _origin(run: Run, report: CostReport) -> Text:
    guessed = sum(layer.origin != "measured" for layer in report.layers)
    text = f"Latency: one sample on {run.profile.threads} thread(s), profile {run.profile.name}; "
    text += (
        "every layer measured" if not guessed else f"{guessed} of {len(report.layers)} layers interpolated"
    )
    text += f". Peak activations: {bytes_text(report.peak_activation_bytes)}."
    return Text(text, "dim")
