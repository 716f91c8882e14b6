"""A search space as text: its settings with every default, and what its rules make of a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mpsearch.models.model_trace import ModelTrace
from mpsearch.report.execution_line import execution_line
from mpsearch.report.fitted_table import Column, FittedTable
from mpsearch.report.precision_strip import SYMBOLS, precision_legend, scheme_style
from mpsearch.report.units import bytes_text, count_text
from mpsearch.report.unquantized_text import unquantized_text
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.space import LayerRule, SearchSpace


def settings_view(space: SearchSpace, path: Path) -> RenderableType:
    """Every setting of the space, defaults included."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("file", str(path))
    arguments = ", ".join(f"{key}={value!r}" for key, value in space.task.args.items())
    grid.add_row("task", space.task.name + (f" ({arguments})" if arguments else ""))
    grid.add_row("objectives", ", ".join(f"{o.direction} {o.name}" for o in space.objectives))
    grid.add_row("budgets", str(space.budgets))
    grid.add_row("search", _pairs(asdict(space.search)))
    grid.add_row("trial", _pairs(asdict(space.trial)))
    for place, rule in enumerate(space.layers):
        grid.add_row("layers" if place == 0 else "", _rule(rule))
    return Group(Text(space.name, "bold"), grid)


def layers_view(resolved: ResolvedSpace, model: ModelTrace) -> RenderableType:
    """What each layer may take, what stays at 32 bits and why, and how the model will run."""
    schemes = resolved.schemes
    layers = [model.layer(name) for name in resolved.layers]
    group_of = {layer: c.name for c in resolved.choices if len(c.layers) > 1 for layer in c.layers}
    cells = []
    for name in resolved.layers:
        cell = Text()
        for scheme in schemes[name]:
            cell.append(SYMBOLS[scheme.name], scheme_style(scheme))
        cells.append(cell.append(" pinned" if name in resolved.pinned else "", "dim"))
    columns = [
        Column(title="layer", cells=list(resolved.layers), justify="left"),
        Column(title="may take", cells=cells, justify="left"),
        Column(
            title="group",
            cells=[group_of.get(name, "") for name in resolved.layers],
            justify="left",
            importance=4,
        ),
        Column(
            title="shape",
            cells=[str(la.calls[0]) for la in layers],
            justify="left",
            importance=1,
            style="dim",
        ),
        Column(title="MACs", cells=[count_text(layer.macs) for layer in layers], importance=2),
        Column(title="32-bit size", cells=[bytes_text(4 * la.weight_count) for la in layers], importance=3),
    ]
    used = {scheme for allowed in schemes.values() for scheme in allowed}
    return Group(
        FittedTable(columns=columns, rows=len(layers)),
        Text(),
        precision_legend(list(used)),
        Text(f"{len(resolved.choices)} free choices, {_amount(resolved.policies)} policies", "bold"),
        unquantized_text(model) if model.unquantized else Text(),
        execution_line(model) or Text(),
    )


def _amount(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"{count:.1e}"


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _rule(rule: LayerRule) -> Text:
    what = " ".join(
        part for part in (rule.match or "", f"({rule.operator})" if rule.operator else "") if part
    )
    text = Text(f"{what or '*'} ", overflow="fold")
    text.append("pinned to " if rule.is_pinned else "→ ", "dim")
    text.append(", ".join(scheme.name for scheme in rule.schemes))
    return text.append(f"  group {rule.group}" if rule.group else "", "dim")
