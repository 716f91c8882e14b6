"""A search space as text: every setting, defaults included."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mpsearch.report.units import budgets_text
from mpsearch.search.space import LayerRule, SearchSpace


def settings_view(space: SearchSpace, path: Path) -> RenderableType:
    """What the file says, and what it leaves to the defaults."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("file", str(path))
    arguments = ", ".join(f"{key}={value!r}" for key, value in space.task.args.items())
    grid.add_row("task", space.task.name + (f" ({arguments})" if arguments else ""))
    if space.widths is not None:
        grid.add_row("widths", f"{space.widths} of the task's {space.widths.argument!r}")
    grid.add_row("objectives", ", ".join(f"{o.direction} {o.name}" for o in space.objectives))
    grid.add_row("budgets", budgets_text(space.budgets))
    grid.add_row("overrides", str(space.overrides))
    for place, rule in enumerate(space.layers):
        grid.add_row("layers" if place == 0 else "", _rule(rule))
    for title, settings in (("search", asdict(space.search)), ("trial", asdict(space.trial))):
        for place, (key, value) in enumerate(settings.items()):
            grid.add_row(title if place == 0 else "", Text.assemble((f"{key} ", "dim"), str(value)))
    return Group(Text(space.name, "bold"), grid)


def _rule(rule: LayerRule) -> Text:
    what = " ".join(
        part for part in (rule.match or "", f"({rule.operator})" if rule.operator else "") if part
    )
    text = Text(f"{what or '*'} ", overflow="fold")
    text.append("pinned to " if rule.is_pinned else "→ ", "dim")
    text.append(", ".join(scheme.name for scheme in rule.schemes))
    return text.append(f"  group {rule.group}" if rule.group else "", "dim")
