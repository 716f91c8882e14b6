"""Two trials side by side: figures with what can be said of their difference, then layer by layer."""

from __future__ import annotations

import math

from rich.text import Text

from mpsearch.cost.cost_report import CostReport, LayerCost
from mpsearch.report.inspector.change_text import cost_cell, range_text, verdict
from mpsearch.report.inspector.layer_rows import strip_lines
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.plot_picture import kind_of, mark_ink
from mpsearch.report.inspector.trade import difference
from mpsearch.report.inspector.view_state import Scene
from mpsearch.report.precision_strip import SYMBOLS
from mpsearch.report.shortened import shortened
from mpsearch.report.units import UNIT_TEXTS, UNKNOWN, percent_text, points_text, seconds_text
from mpsearch.search.objective import Objective, costs_on
from mpsearch.search.score_difference import score_difference, trial_difference
from mpsearch.search.trial_record import TrialRecord

_LABEL, _COLUMN, _CHANGE = 9, 19, 10
_SCHEME, _COST = 9, 11


def comparison_head(scene: Scene, a: TrialRecord, b: TrialRecord, palette: Palette, *, width: int) -> Text:
    """Names, strips, scores and costs; then one sentence on the scores."""
    lines = [_names(scene, a, b, palette), Text()]
    for letter, record in (("A", a), ("B", b)):
        schemes = [record.policy[layer] for layer in scene.run.layers]
        line = Text(f"{letter}  ", mark_ink(palette, letter))
        line.append_text(strip_lines(schemes, palette, width=max(width - 3, 1), most=1)[0])
        lines.append(line)
    lines += [
        Text(),
        Text(f"{'':<{_LABEL}}{'A':<{_COLUMN}}{'B':<{_COLUMN}}{'B less A':>{_CHANGE}}", palette.ink("dim")),
    ]
    lines.append(_score_row(scene, a, b, palette, is_test=False))
    if {a.number, b.number} & set(scene.run.test_scores):
        lines.append(_score_row(scene, a, b, palette, is_test=True))
    lines += [
        _cost_row(cost, a, b, palette) for cost in costs_on(scene.run.devices) if _is_wanted(scene, cost)
    ]
    if measured := _measured_row(scene, a, b, palette):
        lines.append(measured)
    if a.is_complete and b.is_complete:
        spread = trial_difference(scene.run, a, b)
        sentence = verdict("A", "B", spread)
        if spread.is_known:
            sentence += (
                " The interval takes the two as scored on different samples; on the same ones, as here, "
                "it is narrower as a rule."
            )
        lines += [Text(), Text(sentence, palette.ink("text" if spread.is_clear else "dim"))]
    for letter, record in (("A", a), ("B", b)):
        if not record.is_complete:
            lines.append(Text(f"{letter} {record.end}", palette.ink("loss" if record.is_failed else "dim")))
    return Text("\n").join(lines)


def comparison_heading(palette: Palette, *, width: int, name_width: int, same: int) -> Text:
    """Titles over the layers, and how many take the same scheme."""
    title = f"layer ({same} alike)" if name_width >= 16 else f"{same} alike"
    text = (
        f"{title:<{name_width}} {'A':<{_SCHEME + 3}}{'B':<{_SCHEME}}{'latency':>{_COST}}{'memory':>{_COST}}"
    )
    return Text(text[:width], palette.ink("dim"))


def name_width(report: CostReport, width: int) -> int:
    """What is left for the names of the layers."""
    longest = max(len(layer.name) for layer in report.layers)
    return max(min(longest, width - 4 - 2 * _SCHEME - 2 * _COST), 12)


def comparison_rows(
    a: CostReport, b: CostReport, palette: Palette, *, width: int, only_different: bool
) -> list[Text]:
    """One row a layer: both schemes, and what B costs more or less there."""
    names = name_width(a, width)
    rows = [
        _layer_row(one, other, palette, names)
        for one, other in zip(a.layers, b.layers, strict=True)
        if not only_different or one.scheme != other.scheme
    ]
    rest = Text(no_wrap=True)
    rest.append(
        f"{shortened('outside of layers', names + 2 * _SCHEME + 2):<{names + 2 * _SCHEME + 4}}",
        palette.ink("dim"),
    )
    rest.append_text(cost_cell("s", difference(a.remainder_latency_s, b.remainder_latency_s), palette, _COST))
    rest.append_text(cost_cell("B", b.other_memory_bytes - a.other_memory_bytes, palette, _COST))
    total = Text(no_wrap=True)
    total.append(f"{'total':<{names + 2 * _SCHEME + 4}}", palette.ink("text", "bold"))
    total.append_text(cost_cell("s", difference(a.latency_s, b.latency_s), palette, _COST))
    total.append_text(cost_cell("B", b.memory_bytes - a.memory_bytes, palette, _COST))
    return [*rows, rest, total]


def alike(a: CostReport, b: CostReport) -> int:
    """Layers that take the same scheme in both."""
    return sum(one.scheme == other.scheme for one, other in zip(a.layers, b.layers, strict=True))


def _names(scene: Scene, a: TrialRecord, b: TrialRecord, palette: Palette) -> Text:
    line = Text(no_wrap=True)
    for letter, record in (("A", a), ("B", b)):
        line.append(f"{letter} ", mark_ink(palette, letter))
        line.append(f"trial {record.number}", palette.ink("text", "bold"))
        kind = kind_of(scene, record.number)
        line.append(f"  {kind}" if kind else "", palette.ink("dim"))
        line.append("" if letter == "B" else "    against    ", palette.ink("dim"))
    return line


def _is_wanted(scene: Scene, cost: Objective) -> bool:
    """Percentiles, and energies of further devices, only where the run or the plot is about them."""
    wanted = {scene.x, scene.y, *scene.run.budgets.bounds(), *(o.name for o in scene.run.objectives)}
    is_usual = cost.kind == "latency" or (cost.device is None and cost.kind in {"memory", "energy"})
    return is_usual or cost.name in wanted


def _score_row(scene: Scene, a: TrialRecord, b: TrialRecord, palette: Palette, *, is_test: bool) -> Text:
    run = scene.run
    line = Text(f"{'test' if is_test else 'accuracy':<{_LABEL}}", palette.ink("dim"), no_wrap=True)
    scores = []
    for record in (a, b):
        score = run.test_scores.get(record.number, math.nan) if is_test else record.accuracy
        bounds = run.test_interval(record.number) if is_test else run.interval(record)
        scores.append(score)
        line.append(f"{percent_text(score):<8}", palette.ink("text", "bold"))
        line.append(f"{range_text(*bounds):<{_COLUMN - 8}}", palette.ink("dim"))
    change = scores[1] - scores[0]
    if not math.isnan(change):
        tested = run.test_samples if is_test else None  # there is one test score a policy, whatever its seeds
        first, second = scores
        spread = score_difference(first, second, tested) if tested else trial_difference(run, a, b)
        ink = "dim" if not spread.is_clear else "gain" if change > 0 else "loss"
        line.append(f"{points_text(change):>{_CHANGE}}", palette.ink(ink))
        if spread.is_known:
            line.append(f"  {points_text(spread.low)} to {points_text(spread.high)}", palette.ink("dim"))
    else:
        line.append(f"{UNKNOWN:>{_CHANGE}}", palette.ink("dim"))
    return line


def _cost_row(cost: Objective, a: TrialRecord, b: TrialRecord, palette: Palette) -> Text:
    label = cost.name.removeprefix("latency_").removeprefix("latency")
    return _values_row(label or "latency", (cost.of(a), cost.of(b)), unit=cost.unit, palette=palette)


def _values_row(label: str, values: tuple[float, float], *, unit: str, palette: Palette) -> Text:
    first, second = values
    line = Text(f"{shortened(label, _LABEL - 1):<{_LABEL}}", palette.ink("dim"), no_wrap=True)
    for value in values:
        line.append(f"{UNIT_TEXTS[unit](value):<{_COLUMN}}", palette.ink("text", "bold"))
    line.append_text(cost_cell(unit, difference(first, second), palette, _CHANGE))
    if first and difference(first, second):
        line.append(f"  {100 * (second / first - 1):+.0f}%".replace("-", "−"), palette.ink("dim"))
    return line


def _measured_row(scene: Scene, a: TrialRecord, b: TrialRecord, palette: Palette) -> Text | None:
    measured = scene.run.measured
    first, second = measured.get(a.number), measured.get(b.number)
    if first is None and second is None:
        return None
    if first is not None and second is not None:
        values = (first.latency_s, second.latency_s)
        return _values_row("measured", values, unit="s", palette=palette)
    line = Text(f"{'measured':<{_LABEL}}", palette.ink("dim"), no_wrap=True)
    for found in (first, second):
        text = UNKNOWN if found is None else seconds_text(found.latency_s)
        line.append(f"{text:<{_COLUMN}}", palette.ink("text", "bold"))
    line.append(f"{UNKNOWN:>{_CHANGE}}", palette.ink("dim"))
    return line


def _layer_row(one: LayerCost, other: LayerCost, palette: Palette, names: int) -> Text:
    is_same = one.scheme == other.scheme
    row = Text(no_wrap=True)
    row.append(f"{shortened(one.name, names):<{names}} ", palette.ink("dim" if is_same else "text"))
    row.append(SYMBOLS[one.scheme.name], palette.block(one.scheme))
    row.append(f" {one.scheme.name:<{_SCHEME - 2}}", palette.ink("dim"))
    row.append("  " if is_same else " →", palette.ink("accent"))
    row.append(" ")
    if is_same:
        row.append(f"{'same':<{_SCHEME}}", palette.ink("faint"))
    else:
        row.append(SYMBOLS[other.scheme.name], palette.block(other.scheme))
        row.append(f" {other.scheme.name:<{_SCHEME - 2}}", palette.ink("text"))
    row.append_text(cost_cell("s", difference(one.latency_s, other.latency_s), palette, _COST))
    row.append_text(cost_cell("B", other.memory_bytes - one.memory_bytes, palette, _COST))
    return row
