"""A run on one screen: what was searched, the front as a table and as a plot, what to type next."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType
from rich.text import Text

from mpsearch.report.execution_line import execution_line
from mpsearch.report.front_plot import front_plot
from mpsearch.report.pareto_table import failed_lines, pareto_table
from mpsearch.report.precision_strip import precision_legend
from mpsearch.report.units import budgets_text, percent_text
from mpsearch.search.run import Run


def run_overview(
    run: Run, *, cost: str | None = None, failed: bool = False, height: int = 16
) -> RenderableType:
    """Heading, table, legend and plot."""
    parts: list[RenderableType] = [run_heading(run), Text()]
    if not any(record.is_complete for record in run.records):
        parts.append(Text("No trial has finished yet. The same `mpsearch search` command goes on.", "yellow"))
    else:
        used = {scheme for record in run.records for scheme in record.policy.values()}
        parts += [pareto_table(run), Text(), precision_legend(list(used)), Text()]
        parts.append(front_plot(run, cost, height=height))
    failures = sum(not record.is_complete for record in run.records)
    if failures and failed:
        parts += [Text(), failed_lines(run)]
    elif failures:
        parts.append(Text(f"{failures} of {len(run.records)} trials failed; --failed says why.", "yellow"))
    return Group(*parts)


def run_heading(run: Run) -> Text:
    """What was searched, and where its numbers come from."""
    complete = sum(record.is_complete for record in run.records)
    names = ", ".join(objective.name for objective in run.objectives)
    heading = Text.assemble(
        (run.space.name, "bold"),
        f"  {complete} trials, {len(run.front)} on the front of {names}, hypervolume {run.hypervolume:.4f}",
    )
    profile = run.profile
    threads = f"{profile.threads} thread" + ("s" if profile.threads != 1 else "")
    origin = (
        f"\naccuracy: validation (32-bit {percent_text(run.baseline.score)}); "
        f"latency: predicted for one sample on {threads}, profile {profile.name}"
    )
    heading.append(origin, "dim")
    execution = execution_line(run.model)
    if execution is not None:
        heading.append("\n").append_text(execution)
    if run.budgets:
        heading.append(f"\nbudgets: {budgets_text(run.budgets)}", "dim")
        if complete and not any(record.feasible for record in run.records):
            heading.append("\nNo trial meets the budgets yet. Search on, or loosen them.", "yellow")
    return heading


def next_step(run: Run) -> Text:
    """The command that exports the knee."""
    out = f"{run.path.name}-knee"
    command = (
        f"mpsearch export {shlex.quote(str(run.path))} --pick knee --format packed --out {shlex.quote(out)}"
    )
    return Text.assemble(("next  ", "bold"), (command, "cyan"))
