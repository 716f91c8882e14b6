"""`mpsearch explain`: which layers can go low and which cannot, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.errors import ConfigError
from mpsearch.precision.scheme import Scheme
from mpsearch.report.effect_text import (
    VERDICT_MARKS,
    VERDICT_STYLES,
    choice_name,
    cost_text,
    points,
    retrained_text,
)
from mpsearch.report.explain_summary import explain_summary
from mpsearch.report.facts_grid import FactsGrid
from mpsearch.report.fitted_table import Column, FittedTable, StretchColumn
from mpsearch.report.flow import Flow
from mpsearch.report.forest_plot import ForestAxis, Whisker
from mpsearch.report.precision_strip import SYMBOLS, precision_legend, precision_strip, scheme_style
from mpsearch.report.shortened import shortened
from mpsearch.report.units import ColumnUnit, bytes_text, percent_text, seconds_text
from mpsearch.search.layer_effects import ChoiceVerdict, LayerEffect, LayerEffects
from mpsearch.search.nearest import did_you_mean
from mpsearch.search.run import Run

Order = Literal["model", "accuracy", "memory", "latency", "name"]

_CELL = 5
_COARSE = 0.005  # a tolerance that one decimal of points can show
_LEAST_PLOT, _MOST_PLOT = 12, 60
_LEAST_NAME, _MOST_NAME = 8, 24


def chosen_choices(
    effects: LayerEffects, *, layers: str | None = None, order: Order = "model"
) -> tuple[ChoiceVerdict, ...]:
    """The choices whose name, or a layer of whose, fits the glob; most sensitive or most saved first.

    Raises: ConfigError if none fits.
    """
    kept = [choice for choice in effects.choices if layers is None or _fits(choice, layers)]
    if not kept:
        names = [name for choice in effects.choices for name in (choice_name(choice.choice), *choice.layers)]
        pinned = [name for name in effects.pinned if fnmatchcase(name, layers or "*")]
        told = f" {', '.join(pinned)} cannot be chosen: the space pins it." if pinned else ""
        raise ConfigError(
            f"`--layer` must be the name or a glob of a layer that can be chosen; got {layers!r}."
            f"{told or did_you_mean(layers or '', names)} Among them: {', '.join(dict.fromkeys(names[:12]))}."
        )
    if order == "name":
        kept.sort(key=lambda choice: choice.choice)
    elif order != "model":
        kept.sort(key=lambda choice: _rank(choice, order))
    return tuple(kept)


def explain_view(
    run: Run, effects: LayerEffects, choices: Sequence[ChoiceVerdict], *, every_scheme: bool = False
) -> RenderableType:
    """What `mpsearch explain` prints, but for the next command."""
    table = every_scheme_table(effects, choices) if every_scheme else choices_table(effects, choices)
    parts: list[RenderableType] = [_heading(run, effects), Text(), table, Text(), _legend(effects, choices)]
    members = [choice for choice in choices if len(choice.layers) > 1]
    facts: list[tuple[str, Text | str]] = [
        (choice_name(choice.choice), f"{', '.join(choice.layers)}: one choice") for choice in members
    ]
    if effects.pinned:
        pinned = ", ".join(f"{layer} at {scheme}" for layer, scheme in effects.pinned.items())
        facts.append(("pinned", f"{pinned}: nothing to choose"))
    if run.space.overrides:
        facts.append(("overrides", str(run.space.overrides)))
    if facts:
        parts.append(FactsGrid(facts))
    parts += [Text(), explain_summary(effects, choices)]
    return Group(*parts)


def choices_table(effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> FittedTable:
    """One row a choice: what each scheme costs, how far it can go, what that saves."""
    rows = [_Row(choice=choice, effect=_shown(choice)) for choice in choices]
    references = {choice.reference for choice in choices}
    offered = [s for s in _offered(choices) if references != {s}]  # where all begin, nothing is lost
    decimals = 1 if effects.tolerance >= _COARSE else 2
    return FittedTable(
        columns=[
            _names(rows),
            Column(
                title="now",
                cells=[_block(choice.reference) for choice in choices],
                justify="left",
                importance=6,
            ),
            Column(
                title="points lost at",
                unit="".join(f"{SYMBOLS[scheme.name] + ' ':>{_CELL}}" for scheme in offered),
                cells=[_costs(choice, offered, decimals) for choice in choices],
                justify="left",
                importance=7,
            ),
            Column(title="can go", cells=[_goes_to(choice) for choice in choices], justify="left"),
            *_evidence(rows, effects),
        ],
        rows=len(rows),
    )


def every_scheme_table(effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> FittedTable:
    """One row for each choice at each other scheme, highest precision first."""
    rows: list[_Row] = []
    sections: list[int] = []
    for choice in choices:
        others = list(reversed(choice.effects))
        rows += [
            _Row(choice=choice, effect=effect, is_first=not place) for place, effect in enumerate(others)
        ]
        sections.append(len(rows) - 1)
    shown = [row.effect.scheme if row.effect else None for row in rows]
    return FittedTable(
        columns=[
            _names(rows),
            Column(title="at", cells=[_block(scheme) for scheme in shown], justify="left"),
            Column(title="", cells=[str(scheme or "") for scheme in shown], justify="left", importance=2),
            *_evidence(rows, effects),
        ],
        rows=len(rows),
        sections=frozenset(sections[:-1]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    choice: ChoiceVerdict
    effect: LayerEffect | None
    is_first: bool = True


def _evidence(rows: Sequence[_Row], effects: LayerEffects) -> list[Column | StretchColumn]:
    """The interval as a plot and in numbers, what is saved, in how many trials it was seen."""
    shown = [row.effect for row in rows]
    whiskers = [None if effect is None else _whisker(effect) for effect in shown]
    axis = ForestAxis.fitted([w for w in whiskers if w is not None], limit=100 * effects.tolerance)
    memory = [math.nan if effect is None else float(effect.memory_saved_bytes) for effect in shown]
    latency = [math.nan if effect is None else effect.latency_saved_s for effect in shown]
    memory_unit = _column_unit("B", memory)
    latency_unit = _column_unit("s", latency)
    return [
        StretchColumn(
            title="points lost",
            unit=axis.ticks,
            cells=lambda width: [axis.row(whisker, width) for whisker in whiskers],
            least=_LEAST_PLOT,
            most=_MOST_PLOT,
        ),
        Column(
            title="95%",
            cells=[Text() if e is None else Text(cost_text(e), VERDICT_STYLES[e.verdict]) for e in shown],
            justify="left",
            importance=3,
        ),
        Column(
            title="one training",
            cells=["" if effect is None else retrained_text(effect) for effect in shown],
            justify="left",
            importance=1,
            style="dim",
        ),
        Column(title="saves", unit=memory_unit.name, cells=_saved(memory, memory_unit), importance=5),
        Column(title="saves", unit=latency_unit.name, cells=_saved(latency, latency_unit), importance=4),
        *_saved_on_devices(shown),
        Column(
            title="seen",
            unit="trials",
            cells=["" if effect is None else str(effect.trials) for effect in shown],
            importance=2,
            style="dim",
        ),
    ]


def _names(rows: Sequence[_Row]) -> Column:
    names = [_name(row.choice) if row.is_first else "" for row in rows]
    longest = max(len(name) for name in names)
    width = min(max(longest, _LEAST_NAME), _MOST_NAME)
    return Column(title="layer", cells=[shortened(name, width) for name in names], justify="left")


def _name(choice: ChoiceVerdict) -> str:
    name = choice_name(choice.choice)
    return name if len(choice.layers) == 1 else f"{name} ({len(choice.layers)})"


def _block(scheme: Scheme | None) -> Text:
    return Text() if scheme is None else Text.assemble((f" {SYMBOLS[scheme.name]} ", scheme_style(scheme)))


def _costs(choice: ChoiceVerdict, offered: Sequence[Scheme], decimals: int) -> Text:
    """One cell a scheme: the points that it costs, in the colour of its verdict and with its mark."""
    found = {effect.scheme: effect for effect in choice.effects}
    line = Text()
    for scheme in offered:
        if scheme == choice.reference:
            line.append(f"{'= ':>{_CELL}}", "dim")
        elif (effect := found.get(scheme)) is None:
            line.append(" " * _CELL)
        else:
            text = points(-effect.accuracy_change, decimals) + VERDICT_MARKS[effect.verdict]
            style = VERDICT_STYLES[effect.verdict] + ("" if effect.trials else " italic")
            line.append(f"{text:>{_CELL}}", style)
    return line


def _goes_to(choice: ChoiceVerdict) -> Text:
    if choice.can_go_to is not None:
        return _block(choice.can_go_to.scheme)
    return Text("stays" if choice.not_below == choice.reference else "?" if choice.lower else "lowest", "dim")


def _shown(choice: ChoiceVerdict) -> LayerEffect | None:
    """The lowest safe scheme; where none is, the first step down."""
    if choice.can_go_to is not None:
        return choice.can_go_to
    return choice.lower[0] if choice.lower else None


def _whisker(effect: LayerEffect) -> Whisker:
    low, high = effect.interval
    return Whisker(
        low=-100 * high,
        middle=-100 * effect.accuracy_change,
        high=-100 * low,
        style=VERDICT_STYLES[effect.verdict],
    )


def _column_unit(unit: str, values: Sequence[float]) -> ColumnUnit:
    """By the median of what is saved: a single tiny layer shall not put all others into bytes."""
    known = sorted(abs(value) for value in values if math.isfinite(value) and value)
    return ColumnUnit.fitting(unit, known[len(known) // 2 :][:1])


def _saved_on_devices(effects: Sequence[LayerEffect | None]) -> list[Column]:
    devices = dict.fromkeys(device for e in effects if e is not None for device in e.latency_saved_on)
    columns = []
    for device in devices:
        values = [math.nan if effect is None else effect.latency_saved_on[device] for effect in effects]
        unit = _column_unit("s", values)
        columns.append(Column(title=f"@{device}", unit=unit.name, cells=_saved(values, unit), importance=4))
    return columns


def _saved(values: Sequence[float], unit: ColumnUnit) -> list[str]:
    return ["" if math.isnan(value) else unit.text(value) for value in values]


def _offered(choices: Sequence[ChoiceVerdict]) -> list[Scheme]:
    """All schemes of the choices, highest precision first."""
    schemes = {c.reference for c in choices} | {e.scheme for c in choices for e in c.effects}
    return sorted(schemes, key=lambda s: (s.weight_bits, s.activation_bits), reverse=True)


def _fits(choice: ChoiceVerdict, glob: str) -> bool:
    names = (choice.choice, choice_name(choice.choice), *choice.layers)
    return any(name == glob or fnmatchcase(name, glob) for name in names)


def _rank(choice: ChoiceVerdict, order: Order) -> float:
    """Least first: most sensitive at its lowest scheme, or most saved by where it can go."""
    if order == "accuracy":
        return choice.effects[0].accuracy_change if choice.lower else 0.0
    shown = choice.can_go_to
    if shown is None:
        return 0.0
    return -shown.memory_saved_bytes if order == "memory" else -shown.latency_saved_s


def _heading(run: Run, effects: LayerEffects) -> RenderableType:
    costs = effects.reference_costs
    uniform = effects.reference.uniform_scheme
    trial = effects.reference_trial
    reference = Text("untrained" if trial is None else f"trial {trial}")
    if uniform is not None:
        reference.append(f", all {uniform}")
    reference.append("  ").append_text(precision_strip(effects.reference, width=32))
    scored = "" if trial is None else f"scored {percent_text(run.trial(trial).accuracy, 1)}, "
    reference.append(
        f"  {scored}expected {percent_text(effects.reference_accuracy, 1)}, {seconds_text(costs.latency_s)}, "
        f"{bytes_text(costs.memory_bytes)}"
    )
    title = Text.assemble((run.space.name, "bold"), "  what one layer costs and saves when it alone changes")
    return Group(
        title,
        FactsGrid(
            [
                ("from", reference),
                ("trials", _trials(run, effects)),
                (
                    "limit",
                    f"a layer can go where it surely loses less than {_limit(effects)}",
                ),
            ]
        ),
    )


def _limit(effects: LayerEffects) -> str:
    value = 100 * effects.tolerance
    return f"{value:g} point" + ("" if value == 1 else "s")


def _trials(run: Run, effects: LayerEffects) -> str:
    fit = effects.fit
    text = f"{fit.trials} of {run.metric} on {fit.samples} validation samples"
    repeated = sum(record.seeds > 1 for record in run.records)
    text += f"; {repeated} of them with further seeds, by the mean" if repeated else ""
    return text + (f"; {fit.failed} failed left out" if fit.failed else "")


def _legend(effects: LayerEffects, choices: Sequence[ChoiceVerdict]) -> Group:
    marks = [
        Text.assemble(("0.3", VERDICT_STYLES["safe"]), (" surely less than the limit", "dim")),
        Text.assemble(("0.9?", VERDICT_STYLES["unclear"]), (" unclear", "dim")),
        Text.assemble(("4.1!", VERDICT_STYLES["costly"]), (" surely more", "dim")),
        Text.assemble(("●", "bold"), (" expected, ", "dim"), "─", (" 95%", "dim")),
        Text.assemble("│", (" nothing lost", "dim")),
        Text.assemble("┊", (f" limit, {_limit(effects)}", "dim")),
    ]
    return Group(Flow(marks), precision_legend(_offered(choices)))
