"""The side panel's words: one trial, how sure its score is, and what its neighbours offer."""

from __future__ import annotations

import math
from typing import Literal

from rich.text import Text

from mpsearch.report.inspector.change_text import UNCLEAR, cost_cell, range_text, score_change
from mpsearch.report.inspector.layer_rows import strip_lines
from mpsearch.report.inspector.palette import Palette
from mpsearch.report.inspector.plot_picture import kind_of, mark_ink, symbol_of
from mpsearch.report.inspector.trade import beaten_by, neighbours, trade
from mpsearch.report.inspector.view_state import MARK_LETTERS, Scene
from mpsearch.report.ranking_text import tau_text
from mpsearch.report.seeds_text import seeds_text
from mpsearch.report.shortened import shortened
from mpsearch.report.stopped_text import stopped_text
from mpsearch.report.units import (
    UNIT_TEXTS,
    bytes_text,
    factor_text,
    joules_text,
    percent_text,
    points_text,
    seconds_text,
)
from mpsearch.search.objective import costs_on
from mpsearch.search.score_ranking import score_ranking
from mpsearch.search.trial_record import TrialRecord

_LABEL, _VALUE, _SPREAD, _GAIN = 8, 8, 10, 7
Air = Literal["none", "some", "all"]
_ROOMY = 56  # columns from which words are spelled out


def panel_text(
    scene: Scene,
    record: TrialRecord,
    palette: Palette,
    *,
    width: int,
    marks: tuple[int, ...],
    strip_height: int,
    air: Air,
) -> Text:
    """Everything above the table of layers. Less `air` leaves out rows that only help to read the others."""
    run = scene.run
    lines = [_title(scene, record, palette, width, marks)]
    schemes = [record.policy[layer] for layer in run.layers]
    lines += strip_lines(schemes, palette, width=width, most=strip_height)
    if air == "all":
        lines.append(Text())
    if record.failure:
        lines.append(Text(f"failed: {record.failure}", palette.ink("loss")))
    elif record.is_stopped:
        lines.append(Text(stopped_text(record), palette.ink("dim")))
    lines += _figures(scene, record, palette, width)[1 if air == "none" else 0 :]
    if record.is_complete:
        lines += _trades(scene, record, palette, width, air=air)
    return Text("\n").join(lines)


def empty_text(scene: Scene, palette: Palette) -> Text:
    """In place of a trial, where there is none."""
    run = scene.run
    base = run.baseline
    lines = [
        Text("Nothing to look at yet", palette.ink("text", "bold")),
        Text(),
        Text(f"Trials of {run.space.name} appear here as they end.", palette.ink("dim")),
        Text(),
        Text(f"32-bit baseline: {percent_text(base.score)}, {seconds_text(base.costs.latency_s)}, "
             f"{bytes_text(base.costs.memory_bytes)}.", palette.ink("dim")),
    ]  # fmt: skip
    return Text("\n").join(lines)


def _title(scene: Scene, record: TrialRecord, palette: Palette, width: int, marks: tuple[int, ...]) -> Text:
    symbol, style = symbol_of(scene, record.number, palette)
    line = Text.assemble(
        (symbol, style), (f" trial {record.number}", palette.ink("text", "bold")), no_wrap=True
    )
    if record.policy.width is not None:
        line.append(f" {record.policy.width:g}x", palette.ink("accent", "bold"))
    if record.number in marks:
        letter = MARK_LETTERS[marks.index(record.number)]
        line.append(f" {letter}", mark_ink(palette, letter))
    if kind := kind_of(scene, record.number):
        line.append(f"  {kind}", style)
    if record.number not in scene.shown:
        line.append("  filtered out", palette.ink("dim"))
    where = ""
    if record.number in scene.front_order:
        where = f"{scene.front_order.index(record.number) + 1} of {len(scene.front_order)} on front"
    elif record.is_complete and record.number not in scene.front_numbers:
        where = "not on front"
    room = width - line.cell_len - len(where)
    if where and room < 2:
        where = where.replace(" on front", "").replace(" of ", "/")
        room = width - line.cell_len - len(where)
    if where and room >= 1:
        line.append(" " * room + where, palette.ink("dim"))
    line.truncate(width, overflow="ellipsis")
    return line


def _ranking(scene: Scene) -> str:
    """As in ", ranks by tau 0.81 (0.72 to 0.88)"; empty where it was not measured."""
    ranking = score_ranking(scene.run.space)
    return "" if ranking is None else f", ranks by {tau_text(ranking)}"


def _seeds(record: TrialRecord) -> str:
    return f"{seeds_text(record)}, " if record.seeds > 1 else ""


def _figures(scene: Scene, record: TrialRecord, palette: Palette, width: int) -> list[Text]:
    """Scores and costs, each with its spread and what it is against 32 bits."""
    run, base = scene.run, scene.run.baseline
    roomy = width >= _ROOMY
    heading = f"{'':{_LABEL}}{'':>{_VALUE}}{'spread':>{_SPREAD}}{'vs 32b':>{_GAIN}}"
    rows = [Text(heading + ("  origin" if roomy else ""), palette.ink("dim"))]

    def row(label: str, value: str, *, gain: str, origin: str, spread: str = "", ink: str = "text") -> None:
        line = Text(f"{label:<{_LABEL}}", palette.ink("dim"), no_wrap=True)
        line.append(f"{value:>{_VALUE}}", palette.ink(ink, "bold"))
        line.append(f"{spread:>{_SPREAD}}", palette.ink("dim"))
        line.append(f"{gain:>{_GAIN}}", palette.ink("text"))
        if roomy:
            line.append(f"  {origin}", palette.ink("dim"))
        line.truncate(width, overflow="ellipsis")
        rows.append(line)

    number, costs = record.number, base.costs
    if record.is_complete:
        row(
            "accuracy",
            percent_text(record.accuracy),
            spread=range_text(*run.interval(record)),
            gain=points_text(record.accuracy - base.score),
            origin=f"{_seeds(record)}validation, n = {run.validation_samples}{_ranking(scene)}",
            ink="accent",
        )
    if (test := run.test_scores.get(number)) is not None:
        row(
            "test",
            percent_text(test),
            spread=range_text(*run.test_interval(number)),
            gain=points_text(math.nan if base.test_score is None else test - base.test_score),
            origin=f"test, n = {run.test_samples}" if run.test_samples else "test",
        )
    predicted = f"predicted, {run.profile.name}"
    gain = factor_text(costs.latency_s / record.latency_s)
    row("latency", seconds_text(record.latency_s), gain=gain, origin=predicted)
    if (measured := run.measured.get(number)) is not None:
        row(
            "measured",
            seconds_text(measured.latency_s),
            spread=_quartiles(*measured.quartiles_s),
            gain=factor_text(measured.torch_fp32_latency_s / measured.latency_s),
            origin=f"{measured.repetitions} passes, vs torch",
        )
    wanted = {scene.x, scene.y, *run.budgets.bounds(), *(o.name for o in run.objectives)}
    for cost in costs_on(run.devices):
        if cost.name in wanted and (cost.device is not None or cost.name.startswith("latency_")):
            value = cost.of(record)
            label = cost.name.removeprefix("latency_").removeprefix("latency")
            row(
                shortened(label, _LABEL - 1),
                UNIT_TEXTS[cost.unit](value),
                gain=factor_text(cost.of(costs) / value),
                origin=predicted if cost.device is None else f"predicted, {cost.device}",
            )
    gain = factor_text(costs.memory_bytes / record.memory_bytes)
    row("memory", bytes_text(record.memory_bytes), gain=gain, origin="packed parameters")
    gain = factor_text(costs.energy_j / record.energy_j)
    row("energy", joules_text(record.energy_j), gain=gain, origin="estimated")
    return rows


def _trades(scene: Scene, record: TrialRecord, palette: Palette, width: int, *, air: Air) -> list[Text]:
    """What a step along the front would gain or lose, and who beats a trial that is not on it."""
    left, right = neighbours(scene, record.number)
    better = beaten_by(scene, record)
    rows: list[Text] = []
    unclear = False
    label = max(width - 8 - 2 * 9, 6)
    label = min(label, 16)
    for arrow, number in (("←", left), ("→", right), ("▲", None if better is None else better.number)):
        if number is None:
            continue
        step = trade(scene, record, scene.record_of[number])
        unclear |= not step.accuracy.is_clear
        line = Text(no_wrap=True)
        line.append(f"{arrow} ", palette.ink("accent"))
        line.append(f"{f'trial {number}' if label > 9 else str(number):<{label - 2}}", palette.ink("text"))
        line.append_text(score_change(step.accuracy, palette, 8))
        line.append_text(cost_cell("s", step.latency_s, palette, 9))
        line.append_text(cost_cell("B", step.memory_bytes, palette, 9))
        if width >= _ROOMY:
            line.append_text(cost_cell("J", step.energy_j, palette, 10))
        rows.append(line)
    if not rows:
        return []
    title = "going to" if label > 9 else "to"
    heading = f"{title:<{label}}{'points ':>8}{'latency':>9}{'memory':>9}"
    heading += f"{'energy':>10}" if width >= _ROOMY else ""
    notes = []
    if unclear:
        notes.append(f"{UNCLEAR} noise on {scene.run.validation_samples} samples")
    if better is not None:
        notes.append("▲ beats it")
    footer = [Text(note, palette.ink("dim")) for note in notes] if air == "all" else []
    return [*([] if air == "none" else [Text()]), Text(heading, palette.ink("dim")), *rows, *footer]


def _quartiles(low_s: float, high_s: float) -> str:
    """Both in the unit that the value beside them has: "12.7–13.1"."""
    low, high = seconds_text(low_s).split(" "), seconds_text(high_s).split(" ")
    return f"{low[0]}–{high[0]}" if low[1:] == high[1:] else f"{low[0]}{low[-1]}–{high[0]}"
